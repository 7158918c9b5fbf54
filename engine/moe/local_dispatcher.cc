#include "engine/moe/local_dispatcher.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace moe {
namespace {

class LocalDispatch : public DispatchHandle {
 public:
  LocalDispatch(const TensorView& hidden, const GatingResult& gating)
      : hidden_(hidden), gating_(gating) {}

  absl::StatusOr<bool> Poll() override { return true; }

  absl::StatusOr<DispatchedTokens> FinishDispatch() override {
    return DispatchedTokens{hidden_, gating_.row_of_slot,
                            gating_.expert_offsets};
  }

  absl::Status BeginCombine(const TensorView& expert_out) override {
    const int64_t slots = gating_.row_of_slot.dims[0];
    if (expert_out.dims[0] != slots) {
      return absl::InvalidArgumentError(
          absl::StrCat("BeginCombine: expert_out is ", expert_out.ShapeString(),
                       ", but ", slots, " rows were dispatched"));
    }
    expert_out_ = expert_out;
    return absl::OkStatus();
  }

  absl::StatusOr<CombinedTokens> FinishCombine() override {
    return CombinedTokens{expert_out_, gating_.slot_of};
  }

 private:
  const TensorView hidden_;
  const GatingResult gating_;
  TensorView expert_out_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DispatchHandle>> LocalDispatcher::Dispatch(
    const TensorView& hidden, const GatingResult& gating, const MoeStep&,
    Stream&) {
  return std::make_unique<LocalDispatch>(hidden, gating);
}

}  // namespace moe
