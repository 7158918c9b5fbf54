#pragma once

#include <cstdint>
#include <vector>

namespace moe {

// The CPUs that the calling thread, and threads that it makes, may run on;
// ascending. Never empty: {0} if nobody tells.
std::vector<int32_t> UsableCpus();

// While it lives, the calling thread and those that it makes are bound to
// `cpus`. A hint: where it fails, nothing changes.
class ScopedCpuBinding {
 public:
  explicit ScopedCpuBinding(const std::vector<int32_t>& cpus);
  ~ScopedCpuBinding();
  ScopedCpuBinding(const ScopedCpuBinding&) = delete;
  ScopedCpuBinding& operator=(const ScopedCpuBinding&) = delete;

 private:
  std::vector<int32_t> before_;  // empty: nothing to restore
};

// What one of several ranks of a machine has of it.
struct CpuShare {
  int num_ranks = 1;  // that may use some of this rank's CPUs, itself included
  int index = 0;      // of this rank among them
};

// `usable`: of each rank of the machine, its UsableCpus. `own`: which of them
// this rank is.
CpuShare ShareOfCpus(const std::vector<std::vector<int32_t>>& usable, int own);

}  // namespace moe
