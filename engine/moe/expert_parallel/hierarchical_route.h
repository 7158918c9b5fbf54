#pragma once

#include <cstdint>
#include <vector>

#include "comm/collectives/hierarchical_all_to_all_v.h"
#include "engine/moe/expert_parallel/all_to_all_route.h"

namespace moe {

// First inside each node, then across nodes (hierarchical_all_to_all_v.h).
class HierarchicalRoute : public AllToAllRoute {
 public:
  using AllToAllRoute::AllToAllRoute;

 private:
  HierarchicalGroups Groups() const {
    return {layer_.groups.expert_node, layer_.groups.expert_cross};
  }
  Begun BeginPlan(std::vector<int64_t> send_rows) override;
  absl::Span<const int64_t> receive_rows() const override {
    return plan_.rows.receive_rows;
  }
  Begun BeginRows(const TensorView& packed,
                  const TensorView& received) override;
  Begun BeginResults(const TensorView& sent,
                     const TensorView& results) override;

  HierarchicalAllToAllVPlan plan_;
};

}  // namespace moe
