#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "engine/moe/token_dispatcher.h"

namespace moe {

// For a rank that has all experts: moves nothing, the experts gather their rows
// while they multiply. Thread-safe.
class LocalDispatcher : public TokenDispatcher {
 public:
  bool is_local() const override { return true; }
  absl::StatusOr<std::unique_ptr<DispatchHandle>> Dispatch(
      const TensorView& hidden, const GatingResult& gating, const MoeStep& step,
      Stream& stream) override;
};

}  // namespace moe
