#include "tests/integration/server_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/time/clock.h"
#include "tests/support/golden.h"

extern char** environ;

namespace moe {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(5);

std::string ReadFile(const std::string& path) {
  std::ifstream stream(path);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace

ServerProcess::ServerProcess(const std::string& config,
                             const std::vector<std::string>& flags) {
  const char* base = std::getenv("TEST_TMPDIR");
  std::string name = std::string(base == nullptr ? "/tmp" : base) + "/XXXXXX";
  if (mkdtemp(name.data()) == nullptr) std::abort();
  directory_ = name;
  std::ofstream(directory_ + "/server.textproto") << config;

  const std::string program = TestDataPath("server/moe_server");
  std::vector<std::string> words = {
      program, "--config=" + directory_ + "/server.textproto"};
  words.insert(words.end(), flags.begin(), flags.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string log = directory_ + "/log";
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  if (posix_spawn(&pid_, program.c_str(), &actions, nullptr, argv.data(),
                  environ) != 0) {
    pid_ = -1;
  }
  posix_spawn_file_actions_destroy(&actions);
}

ServerProcess::~ServerProcess() {
  if (pid_ > 0 && exit_status_ < 0) {
    Signal(SIGKILL);
    WaitForExit();
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

int ServerProcess::WaitForPort() {
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (absl::Now() < deadline) {
    std::ifstream stream(directory_ + "/port");
    int port = 0;
    if (stream >> port) return port;
    if (WaitForExit(kPollInterval) >= 0) return 0;
  }
  return 0;
}

void ServerProcess::Signal(int number) const {
  if (pid_ > 0) kill(pid_, number);
}

int ServerProcess::WaitForExit(absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  while (exit_status_ < 0 && pid_ > 0) {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) == pid_) {
      exit_status_ =
          WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    } else if (absl::Now() >= deadline) {
      return -1;
    } else {
      absl::SleepFor(kPollInterval);
    }
  }
  return exit_status_;
}

std::string ServerProcess::Log() const { return ReadFile(directory_ + "/log"); }

}  // namespace moe
