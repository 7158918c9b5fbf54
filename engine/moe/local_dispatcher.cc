#include "engine/moe/local_dispatcher.h"

#include "absl/strings/str_cat.h"

namespace moe {

absl::Status LocalDispatcher::BeginDispatch(const TensorView& hidden,
                                            const GatingResult& gating,
                                            const MoeStep&) {
  hidden_ = hidden;
  gating_ = gating;
  return absl::OkStatus();
}

absl::StatusOr<DispatchedTokens> LocalDispatcher::FinishDispatch() {
  DispatchedTokens tokens;
  tokens.x = hidden_;
  tokens.row_of_slot = gating_.row_of_slot;
  tokens.expert_offsets = gating_.expert_offsets;
  return tokens;
}

absl::Status LocalDispatcher::BeginCombine(const DispatchedTokens& tokens,
                                           const TensorView& expert_out) {
  if (expert_out.dims[0] != tokens.num_slots()) {
    return absl::InvalidArgumentError(
        absl::StrCat("BeginCombine: expert_out is ", expert_out.ShapeString(),
                     ", but ", tokens.num_slots(), " rows were dispatched"));
  }
  expert_out_ = expert_out;
  return absl::OkStatus();
}

absl::StatusOr<CombinedTokens> LocalDispatcher::FinishCombine() {
  return CombinedTokens{expert_out_, gating_.slot_of};
}

}  // namespace moe
