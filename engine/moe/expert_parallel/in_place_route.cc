#include "engine/moe/expert_parallel/in_place_route.h"

#include <cstdint>
#include <vector>

#include "comm/collectives/all_gather_v.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<DispatchedTokens> InPlaceRoute::Received() {
  const absl::Span<const int32_t> offsets = source_.host_offsets();
  const int32_t begin = offsets[layer_.first_expert];
  std::vector<int32_t> local;
  for (int64_t e = 0; e <= layer_.num_experts; ++e) {
    local.push_back(offsets[layer_.first_expert + e] - begin);
  }
  DispatchedTokens tokens;
  tokens.x = source_.x();
  tokens.row_of_slot = source_.row_of_slot().Rows(begin, begin + local.back());
  ASSIGN_OR_RETURN(tokens.expert_offsets,
                   buffers().local_offsets.Upload(local, stream_));
  return tokens;
}

absl::StatusOr<std::unique_ptr<PendingOperation>> InPlaceRoute::BeginReturn(
    const TensorView& expert_out, TensorView& results) {
  if (layer_.num_ranks() == 1) {
    results = expert_out;
    return nullptr;
  }
  return BeginAllGatherV(*layer_.groups.expert, expert_out,
                         layer_.SlotsByRank(source_.host_offsets()), results,
                         stream_);
}

}  // namespace moe
