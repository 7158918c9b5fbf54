#pragma once

#include <cstdint>
#include <vector>

#include "comm/collectives/coordinated_all_to_all_v.h"
#include "engine/moe/expert_parallel/all_to_all_route.h"

namespace moe {

// Among the ranks of equal replica rank, each of which sends only the rows for
// such ranks (coordinated_all_to_all_v.h).
class CoordinatedRoute : public AllToAllRoute {
 public:
  using AllToAllRoute::AllToAllRoute;

 private:
  CoordinatedGroups Groups() const {
    return {layer_.groups.expert_replicas, layer_.groups.expert_peers};
  }
  bool SendsTo(int expert_rank) const override {
    return expert_rank % layer_.num_replicas() ==
           layer_.groups.expert_replicas->rank();
  }
  Begun BeginPlan(std::vector<int64_t> send_rows) override;
  absl::Span<const int64_t> receive_rows() const override {
    return plan_.receive_rows;
  }
  Begun BeginRows(const TensorView& packed,
                  const TensorView& received) override;
  Begun BeginResults(const TensorView& sent,
                     const TensorView& results) override;

  CoordinatedAllToAllVPlan plan_;
};

}  // namespace moe
