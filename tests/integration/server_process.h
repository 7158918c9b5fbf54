#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/time/time.h"

namespace moe {

// The real program as a child process, its log in a file. Killed, if it still
// runs, by the destructor.
class ServerProcess {
 public:
  // `config`: the text of a configuration file, which is written to a new
  // directory under TEST_TMPDIR. `flags` are added.
  explicit ServerProcess(const std::string& config,
                         const std::vector<std::string>& flags = {});
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // The port in the file "port" (server.port_file must say so), once it is
  // there; 0 if the process ends, or after a minute.
  int WaitForPort();

  void Signal(int number) const;
  // The exit status (128 + n if killed by signal n), once it has ended; -1
  // after `patience`.
  int WaitForExit(absl::Duration patience = absl::Seconds(60));

  std::string Log() const;

 private:
  std::string directory_;
  pid_t pid_ = -1;
  int exit_status_ = -1;
};

}  // namespace moe
