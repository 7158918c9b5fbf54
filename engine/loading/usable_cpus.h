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

// The threads of a rank that shares `num_cpus` with `num_ranks` ranks, and a
// quota of `quota` CPUs' time (infinity: none) with `quota_ranks`: no more over
// all of them than CPUs, or than the quota rounded up, but one each.
int FairThreads(int num_cpus, int num_ranks, double quota, int quota_ranks);

// `usable`: UsableCpus of each rank of the machine. `own`: the index of this
// rank in it.
CpuShare ShareOfCpus(const std::vector<std::vector<int32_t>>& usable, int own);

}  // namespace moe
