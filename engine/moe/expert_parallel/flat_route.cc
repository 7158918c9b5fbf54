#include "engine/moe/expert_parallel/flat_route.h"

#include <utility>

#include "comm/collectives/all_gather_v.h"
#include "comm/collectives/row_blocks.h"
#include "kernels/core/status_macros.h"

namespace moe {

IndexRange FlatRoute::SlotsFor(int expert_rank, int replica) const {
  const IndexRange all = AllToAllRoute::SlotsFor(expert_rank, replica);
  const int num_replicas = layer_.num_replicas();
  // Replicas begin with different ones, or the first would send most of few.
  const IndexRange part = PartitionRange(
      all.size(), (replica + expert_rank) % num_replicas, num_replicas);
  return {all.begin + part.begin, all.begin + part.end};
}

FlatRoute::Begun FlatRoute::BeginPlan(std::vector<int64_t> send_rows) {
  plan_.send_rows = std::move(send_rows);
  return BeginPlanAllToAllV(layer_.groups.expert->host(), plan_);
}

FlatRoute::Begun FlatRoute::BeginRows(const TensorView& packed,
                                      const TensorView& received) {
  return BeginAllToAllV(*layer_.groups.expert, plan_, packed, received,
                        stream_);
}

FlatRoute::Begun FlatRoute::BeginResults(const TensorView& sent,
                                         const TensorView& results) {
  const int num_replicas = layer_.num_replicas();
  if (num_replicas == 1) {
    return BeginAllToAllV(*layer_.groups.expert, plan_.Reversed(), sent,
                          results, stream_);
  }
  // Results lie [replica][expert rank], of the slots that each replica sent.
  std::vector<int64_t> replica_rows(num_replicas, 0);
  for (int l = 0; l < num_replicas; ++l) {
    for (int e = 0; e < layer_.num_ranks(); ++e) {
      replica_rows[l] += SlotsFor(e, l).size();
    }
  }
  const int own = layer_.groups.expert_replicas->rank();
  const std::vector<int64_t> offsets = RowOffsets(replica_rows);
  const TensorView own_results = results.Rows(offsets[own], offsets[own + 1]);
  const auto exchange = [=, this] {
    return BeginAllToAllV(*layer_.groups.expert, plan_.Reversed(), sent,
                          own_results, stream_);
  };
  const auto gather = [=, this] {
    return BeginAllGatherV(*layer_.groups.expert_replicas, own_results,
                           replica_rows, results, stream_);
  };
  return PhasedOperation::Begin({exchange, gather});
}

absl::StatusOr<TensorView> FlatRoute::OwnSlotOf() {
  const TensorView own = source_.own_slot_of();
  const int64_t count = own.num_elements();
  if (layer_.num_replicas() == 1 || count == 0) return own;
  std::vector<int32_t> position_of(source_.num_slots());
  int32_t position = 0;
  for (int l = 0; l < layer_.num_replicas(); ++l) {
    for (int e = 0; e < layer_.num_ranks(); ++e) {
      const IndexRange slots = SlotsFor(e, l);
      for (int64_t s = slots.begin; s < slots.end; ++s) {
        position_of[s] = position++;
      }
    }
  }
  ASSIGN_OR_RETURN(const absl::Span<const int32_t> slot_of,
                   buffers().fetched_slot_of.Fetch(own, stream_));
  std::vector<int32_t> positions;
  positions.reserve(count);
  for (const int32_t slot : slot_of) positions.push_back(position_of[slot]);
  ASSIGN_OR_RETURN(const TensorView uploaded,
                   buffers().own_slot_of.Upload(positions, stream_));
  return MakeView(uploaded.data, DType::kI32, {own.dims[0], own.dims[1]},
                  uploaded.device);
}

}  // namespace moe
