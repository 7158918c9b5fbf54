#include "tests/integration/server_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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

// The state of a process from /proc; '\0': there is none.
struct ProcessState {
  std::string name;
  char state = '\0';
  pid_t parent = 0;
};

ProcessState ReadState(pid_t pid) {
  ProcessState result;
  const std::string stat =
      ReadFile("/proc/" + std::to_string(pid) + "/stat");  // "1 (name) S 0 ..."
  const size_t begin = stat.find('('), end = stat.rfind(')');
  if (begin == std::string::npos || end == std::string::npos) return result;
  result.name = stat.substr(begin + 1, end - begin - 1);
  std::istringstream(stat.substr(end + 1)) >> result.state >> result.parent;
  return result;
}

}  // namespace

ServerProcess::ServerProcess(const std::string& config, const Launch& launch) {
  const char* base = std::getenv("TEST_TMPDIR");
  std::string name = std::string(base == nullptr ? "/tmp" : base) + "/XXXXXX";
  if (mkdtemp(name.data()) == nullptr) std::abort();
  directory_ = name;
  Spawn(Command(config, launch));
}

std::string ServerProcess::WriteConfig(const std::string& name,
                                       const std::string& text) {
  const std::string path = directory_ + "/" + name;
  std::ofstream(path) << text;
  return path;
}

std::vector<std::string> ServerProcess::Command(const std::string& config,
                                                const Launch& launch) {
  std::vector<std::string> server = {
      TestDataPath("server/moe_server"),
      "--config=" + WriteConfig("server.textproto", config)};
  server.insert(server.end(), launch.flags.begin(), launch.flags.end());
  server.insert(server.begin(), launch.prefix.begin(), launch.prefix.end());
  if (launch.ranks == 0) return server;
  if (launch.note_exits) {
    // mpirun's signals are for the program.
    server.insert(server.begin(),
                  {"sh", "-c",
                   "trap : TERM; \"$@\"; echo $? > '" + directory_ +
                       "/exit.'$OMPI_COMM_WORLD_RANK",
                   "sh"});
  }
  // As third_party/build_defs/mpirun.sh.
  setenv("ASAN_OPTIONS", "detect_leaks=0", /*overwrite=*/1);
  std::vector<std::string> words = {"mpirun",
                                    "--allow-run-as-root",
                                    "--oversubscribe",
                                    "--bind-to",
                                    "none",
                                    "--mca",
                                    "pml",
                                    "ob1",
                                    "--mca",
                                    "btl",
                                    "self,vader"};
  const auto add = [&words](int ranks, const std::vector<std::string>& prefix,
                            const std::vector<std::string>& program) {
    words.insert(words.end(), {"-np", std::to_string(ranks)});
    words.insert(words.end(), prefix.begin(), prefix.end());
    words.insert(words.end(), program.begin(), program.end());
  };
  if (launch.last_rank_prefix.empty() && launch.last_rank_config.empty()) {
    add(launch.ranks, {}, server);
    return words;
  }
  add(launch.ranks - 1, {}, server);
  words.push_back(":");
  if (!launch.last_rank_config.empty()) {
    const std::string path =
        WriteConfig("last.textproto", launch.last_rank_config);
    for (std::string& word : server) {
      if (absl::StartsWith(word, "--config=")) word = "--config=" + path;
    }
  }
  add(1, launch.last_rank_prefix, server);
  return words;
}

void ServerProcess::Spawn(std::vector<std::string> words) {
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string log = directory_ + "/log";
  posix_spawn_file_actions_addopen(&actions, 1, log.c_str(),
                                   O_WRONLY | O_CREAT | O_APPEND, 0600);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  if (posix_spawnp(&pid_, words[0].c_str(), &actions, nullptr, argv.data(),
                   environ) != 0) {
    pid_ = -1;
  }
  posix_spawn_file_actions_destroy(&actions);
}

ServerProcess::~ServerProcess() {
  if (pid_ > 0 && exit_status_ < 0) {
    for (const pid_t rank : RankPids()) kill(rank, SIGKILL);
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

std::vector<pid_t> ServerProcess::RankPids() const {
  // The processes that mpirun has started, by rank: the program, or its shell.
  std::map<pid_t, pid_t> pids;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    const pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0) continue;
    const ProcessState state = ReadState(pid);
    // (The kernel cuts names to 15 letters.)
    if (state.name != "moe_server") continue;
    if (state.parent == pid_) {
      pids[pid] = pid;
    } else if (ReadState(state.parent).parent == pid_) {
      pids[state.parent] = pid;
    }
  }
  std::vector<pid_t> ranks;
  for (const auto& [started, pid] : pids) ranks.push_back(pid);
  return ranks;
}

bool IsAlive(pid_t pid) {
  const char state = ReadState(pid).state;
  return state != '\0' && state != 'Z' && state != 'X';
}

int ServerProcess::WaitForExit(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
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

std::vector<int> ServerProcess::RankExits(int ranks) const {
  std::vector<int> exits(ranks, -1);
  const absl::Time deadline = absl::Now() + absl::Seconds(10);
  for (int r = 0; r < ranks; ++r) {
    const std::string path = absl::StrCat(directory_, "/exit.", r);
    do {
      std::ifstream stream(path);
      if (stream >> exits[r]) break;
      exits[r] = -1;
      absl::SleepFor(kPollInterval);
    } while (absl::Now() < deadline);
  }
  return exits;
}

std::string ServerProcess::Log() const { return ReadFile(directory_ + "/log"); }

}  // namespace moe
