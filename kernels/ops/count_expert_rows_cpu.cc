#include <cstdint>

#include "kernels/ops/count_expert_rows.h"

namespace moe::cpu {

absl::Status CountExpertRows(const CountExpertRowsArgs& args, CpuStream&) {
  const int32_t* const offsets = args.expert_offsets.ptr<int32_t>();
  int64_t* const counts = args.counts.ptr<int64_t>();
  for (int64_t e = 0; e < args.counts.dims[0]; ++e) {
    counts[e] += offsets[e + 1] - offsets[e];
  }
  return absl::OkStatus();
}

}  // namespace moe::cpu
