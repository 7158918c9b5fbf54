#include "engine/loading/usable_cpus.h"

#include <sched.h>

#include <algorithm>
#include <cmath>

namespace moe {
namespace {

bool Bind(const std::vector<int32_t>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int32_t cpu : cpus) {
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  }
  return CPU_COUNT(&set) > 0 && sched_setaffinity(0, sizeof(set), &set) == 0;
}

}  // namespace

std::vector<int32_t> UsableCpus() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::vector<int32_t> cpus;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0) {
    for (int32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

ScopedCpuBinding::ScopedCpuBinding(const std::vector<int32_t>& cpus) {
  std::vector<int32_t> before = UsableCpus();
  if (before != cpus && Bind(cpus)) before_ = std::move(before);
}

ScopedCpuBinding::~ScopedCpuBinding() {
  if (!before_.empty()) Bind(before_);
}

int FairThreads(int num_cpus, int num_ranks, double quota, int quota_ranks) {
  double threads = std::floor(static_cast<double>(num_cpus) / num_ranks);
  threads = std::min(threads, std::floor(std::ceil(quota) / quota_ranks));
  return static_cast<int>(std::max(1.0, threads));
}

CpuShare ShareOfCpus(const std::vector<std::vector<int32_t>>& usable, int own) {
  CpuShare share = {0, 0};
  for (int rank = 0; rank < static_cast<int>(usable.size()); ++rank) {
    const bool shares =
        std::any_of(usable[rank].begin(), usable[rank].end(), [&](int32_t cpu) {
          return std::binary_search(usable[own].begin(), usable[own].end(),
                                    cpu);
        });
    if (!shares && rank != own) continue;
    if (rank == own) share.index = share.num_ranks;
    ++share.num_ranks;
  }
  return share;
}

}  // namespace moe
