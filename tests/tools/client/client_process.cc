#include "tests/tools/client/client_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

extern char** environ;

namespace moe {
namespace {

constexpr char kClient[] = "tools/client/client";

std::string ReadAndRemove(const std::string& path) {
  std::string text;
  {
    std::ifstream file(path, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(file), {});
  }
  std::remove(path.c_str());
  return text;
}

}  // namespace

ClientProcess::ClientProcess(const std::vector<std::string>& arguments,
                             const std::string& input, const std::string& out) {
  static int count = 0;
  prefix_ = std::string(std::getenv("TEST_TMPDIR")) + "/client_" +
            std::to_string(++count);
  std::ofstream(prefix_ + ".in", std::ios::binary) << input;

  std::vector<std::string> all = {kClient};
  all.insert(all.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& argument : all) argv.push_back(argument.data());
  argv.push_back(nullptr);

  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  const int create = O_WRONLY | O_CREAT | O_TRUNC;
  posix_spawn_file_actions_addopen(&files, 0, (prefix_ + ".in").c_str(),
                                   O_RDONLY, 0);
  posix_spawn_file_actions_addopen(
      &files, 1, out.empty() ? (prefix_ + ".out").c_str() : out.c_str(), create,
      0600);
  posix_spawn_file_actions_addopen(&files, 2, (prefix_ + ".err").c_str(),
                                   create, 0600);
  if (posix_spawn(&pid_, kClient, &files, nullptr, argv.data(), environ) != 0) {
    pid_ = -1;
  }
  posix_spawn_file_actions_destroy(&files);
}

ClientProcess::~ClientProcess() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void ClientProcess::Signal(int number) {
  if (pid_ > 0) kill(pid_, number);
}

ProcessResult ClientProcess::Wait() {
  ProcessResult result;
  int status = 0;
  if (pid_ > 0 && waitpid(pid_, &status, 0) == pid_) {
    result.exit_status =
        WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  pid_ = -1;
  std::remove((prefix_ + ".in").c_str());
  result.out = ReadAndRemove(prefix_ + ".out");
  result.err = ReadAndRemove(prefix_ + ".err");
  return result;
}

}  // namespace moe
