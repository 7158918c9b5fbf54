#pragma once

#include "absl/status/statusor.h"
#include "engine/moe/token_dispatcher.h"

namespace moe {

// For a rank that has all experts: moves nothing, the experts gather their rows
// while they multiply. Stateless.
class LocalDispatcher : public TokenDispatcher {
 public:
  absl::StatusOr<DispatchedTokens> Dispatch(const TensorView& hidden,
                                            const GatingResult& gating,
                                            Stream& stream) override;
  absl::StatusOr<TensorView> Combine(const DispatchedTokens& tokens,
                                     const TensorView& expert_out,
                                     Stream& stream) override;
};

}  // namespace moe
