#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/moe/expert_parallel/exchange_route.h"

namespace moe {

// Every rank gets the rows and expert ids of all: no counts are exchanged, and
// results go straight to the ranks that have the rows.
class ReplicatedRoute : public ExchangeRoute {
 public:
  using ExchangeRoute::ExchangeRoute;

  void AddPhases(std::deque<PhasedOperation::Phase>& phases) override;
  absl::StatusOr<DispatchedTokens> Received() override;
  absl::StatusOr<std::unique_ptr<PendingOperation>> BeginReturn(
      const TensorView& expert_out, TensorView& results) override;

 private:
  absl::StatusOr<std::unique_ptr<PendingOperation>> Gather();
  TensorView ReceivedRows() const;
  // Slots of each local expert from each source group. [num_experts][D]
  absl::StatusOr<std::vector<int64_t>> CountSlots() const;
};

}  // namespace moe
