#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace moe {

// The launcher that this process belongs to: the nearest of its ancestors that
// is mpirun, its daemon on this host, or another launcher that Open MPI knows;
// a script may stand between them. Its parent if none is. Thread-safe.
class MpiLauncher {
 public:
  // Finds it. `proc` is where the process file system is mounted.
  explicit MpiLauncher(std::string proc = "/proc");

  pid_t pid() const { return pid_; }
  // "mpirun"; "" if it could not be read.
  const std::string& name() const { return name_; }

  // kUnavailable that names it if it has ended.
  absl::Status Check() const;

  // kFailedPrecondition if none of the ancestors is a launcher and the process
  // has process ids of its own (a container): then those of its peers differ,
  // and Open MPI, which finds the peers of a machine by them, would crash.
  absl::Status CheckPidNamespace() const;

 private:
  const std::string proc_;
  pid_t pid_ = 0;
  std::string name_;
  // When it started, in clock ticks: another process may get its pid. 0:
  // unknown.
  uint64_t started_ = 0;
  bool found_ = false;
  bool reached_top_ = false;  // of the ancestors in this pid namespace
};

}  // namespace moe
