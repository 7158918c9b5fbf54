#pragma once

#include <deque>
#include <memory>

#include "absl/status/statusor.h"
#include "engine/moe/expert_parallel/exchange_route.h"

namespace moe {

// Every rank of the expert group has all rows: nothing is sent before the
// experts, and an all-gather brings all results to all ranks.
class InPlaceRoute : public ExchangeRoute {
 public:
  using ExchangeRoute::ExchangeRoute;

  void AddPhases(std::deque<PhasedOperation::Phase>&) override {}
  absl::StatusOr<DispatchedTokens> Received() override;
  absl::StatusOr<std::unique_ptr<PendingOperation>> BeginReturn(
      const TensorView& expert_out, TensorView& results) override;
};

}  // namespace moe
