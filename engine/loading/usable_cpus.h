#pragma once

#include <cstdint>
#include <vector>

namespace moe {

// The CPUs on which the calling thread and threads that it starts may run,
// ascending. Never empty: {0} if the system does not report them.
std::vector<int32_t> UsableCpus();

// Binds the calling thread, and threads that it starts, to `cpus` during its
// lifetime. Has no effect if the system refuses.
class ScopedCpuBinding {
 public:
  explicit ScopedCpuBinding(const std::vector<int32_t>& cpus);
  ~ScopedCpuBinding();
  ScopedCpuBinding(const ScopedCpuBinding&) = delete;
  ScopedCpuBinding& operator=(const ScopedCpuBinding&) = delete;

 private:
  std::vector<int32_t> before_;  // empty: nothing to restore
};

// The part of a machine's CPUs that one of its ranks gets.
struct CpuShare {
  int num_ranks = 1;  // with some of this rank's CPUs, including itself
  int index = 0;      // of this rank among them
};

// `usable`: UsableCpus of each rank of the machine. `own`: the index of this
// rank in it.
CpuShare ShareOfCpus(const std::vector<std::vector<int32_t>>& usable, int own);

}  // namespace moe
