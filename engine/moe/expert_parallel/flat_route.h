#pragma once

#include <cstdint>
#include <vector>

#include "comm/collectives/all_to_all_v.h"
#include "engine/moe/expert_parallel/all_to_all_route.h"

namespace moe {

// One message to each rank of the expert group. Each of L replicas sends a part
// of their rows, and they gather the results.
class FlatRoute : public AllToAllRoute {
 public:
  using AllToAllRoute::AllToAllRoute;

  absl::StatusOr<TensorView> OwnSlotOf() override;

 private:
  IndexRange SlotsFor(int expert_rank, int replica) const override;
  Begun BeginPlan(std::vector<int64_t> send_rows) override;
  absl::Span<const int64_t> receive_rows() const override {
    return plan_.receive_rows;
  }
  Begun BeginRows(const TensorView& packed,
                  const TensorView& received) override;
  Begun BeginResults(const TensorView& sent,
                     const TensorView& results) override;

  AllToAllVPlan plan_;
};

}  // namespace moe
