#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace moe {

// How to start a server.
struct Launch {
  std::vector<std::string> flags = {};   // added to --config
  std::vector<std::string> prefix = {};  // words before the program
  // Number of ranks under mpirun; 0: without mpirun.
  int ranks = 0;
  // For the last of several ranks: words before the program, and the text of a
  // separate configuration ("": the same).
  std::vector<std::string> last_rank_prefix = {};
  std::string last_rank_config = {};
  // Start ranks in shells that record their exit statuses.
  bool note_exits = false;
};

// The real program as a child process, or mpirun with several ranks of it, with
// its log in a file. The destructor kills it.
class ServerProcess {
 public:
  // `config`: the text of a configuration file, which is written to a new
  // directory under TEST_TMPDIR.
  explicit ServerProcess(const std::string& config, const Launch& launch = {});
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // The port in the file "port" (server.port_file must say so), once it is
  // there; 0 if the process ends, or after a minute.
  int WaitForPort();

  // To the server, or to mpirun.
  void Signal(int number) const;
  // The processes of the ranks that run now, by rank once all run.
  std::vector<pid_t> RankPids() const;
  // The exit status (128 + n if killed by signal n), once it has ended; -1
  // after `timeout`.
  int WaitForExit(absl::Duration timeout = absl::Seconds(60));

  // The exit statuses by rank (Launch::note_exits), when all ranks have exited
  // or after a timeout; -1: not exited.
  std::vector<int> RankExits(int ranks) const;

  std::string Log() const;

 private:
  std::string WriteConfig(const std::string& name, const std::string& text);
  std::vector<std::string> Command(const std::string& config,
                                   const Launch& launch);
  void Spawn(std::vector<std::string> words);

  std::string directory_;
  pid_t pid_ = -1;
  int exit_status_ = -1;
};

// False once a process has ended, whether or not its parent has noticed.
bool IsAlive(pid_t pid);

}  // namespace moe
