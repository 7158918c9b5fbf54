#pragma once

#include "absl/status/statusor.h"
#include "engine/moe/token_dispatcher.h"

namespace moe {

// For a rank that has all experts: moves nothing, the experts gather their rows
// while they multiply.
class LocalDispatcher : public TokenDispatcher {
 public:
  bool is_local() const override { return true; }
  absl::Status BeginDispatch(const TensorView& hidden,
                             const GatingResult& gating,
                             const MoeStep& step) override;
  absl::StatusOr<bool> Poll() override { return true; }
  absl::StatusOr<DispatchedTokens> FinishDispatch() override;
  absl::Status BeginCombine(const DispatchedTokens& tokens,
                            const TensorView& expert_out) override;
  absl::StatusOr<CombinedTokens> FinishCombine() override;

 private:
  TensorView hidden_;
  GatingResult gating_;
  TensorView expert_out_;
};

}  // namespace moe
