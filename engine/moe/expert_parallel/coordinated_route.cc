#include "engine/moe/expert_parallel/coordinated_route.h"

#include <utility>

namespace moe {

CoordinatedRoute::Begun CoordinatedRoute::BeginPlan(
    std::vector<int64_t> send_rows) {
  plan_.send_rows = std::move(send_rows);
  return BeginPlanCoordinatedAllToAllV(Groups(), plan_);
}

CoordinatedRoute::Begun CoordinatedRoute::BeginRows(
    const TensorView& packed, const TensorView& received) {
  return BeginCoordinatedAllToAllV(Groups(), plan_, packed, received, stream_);
}

CoordinatedRoute::Begun CoordinatedRoute::BeginResults(
    const TensorView& sent, const TensorView& results) {
  return BeginCoordinatedReturn(Groups(), plan_, sent, results,
                                buffers().in_transit.first, stream_);
}

}  // namespace moe
