#include "engine/moe/local_dispatcher.h"

#include "absl/strings/str_cat.h"

namespace moe {

absl::StatusOr<DispatchedTokens> LocalDispatcher::Dispatch(
    const TensorView& hidden, const GatingResult& gating, Stream&) {
  DispatchedTokens tokens;
  tokens.x = hidden;
  tokens.x_rows =
      absl::MakeConstSpan(gating.row_of_slot.ptr<int32_t>(),
                          static_cast<size_t>(gating.row_of_slot.dims[0]));
  tokens.expert_offsets =
      absl::MakeConstSpan(gating.expert_offsets.ptr<int32_t>(),
                          static_cast<size_t>(gating.expert_offsets.dims[0]));
  return tokens;
}

absl::StatusOr<TensorView> LocalDispatcher::Combine(
    const DispatchedTokens& tokens, const TensorView& expert_out, Stream&) {
  if (expert_out.dims[0] != tokens.num_slots()) {
    return absl::InvalidArgumentError(
        absl::StrCat("Combine: expert_out is ", expert_out.ShapeString(),
                     ", but ", tokens.num_slots(), " rows were dispatched"));
  }
  return expert_out;
}

}  // namespace moe
