#include "engine/moe/expert_parallel/hierarchical_route.h"

#include <utility>

namespace moe {

HierarchicalRoute::Begun HierarchicalRoute::BeginPlan(
    std::vector<int64_t> send_rows) {
  plan_.rows.send_rows = std::move(send_rows);
  return BeginPlanHierarchicalAllToAllV(Groups(), plan_);
}

HierarchicalRoute::Begun HierarchicalRoute::BeginRows(
    const TensorView& packed, const TensorView& received) {
  return BeginHierarchicalAllToAllV(Groups(), plan_, packed, received,
                                    buffers().in_transit, stream_);
}

HierarchicalRoute::Begun HierarchicalRoute::BeginResults(
    const TensorView& sent, const TensorView& results) {
  return BeginHierarchicalReturn(Groups(), plan_, sent, results,
                                 buffers().in_transit, stream_);
}

}  // namespace moe
