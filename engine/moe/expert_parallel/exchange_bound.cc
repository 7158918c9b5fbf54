#include "engine/moe/expert_parallel/exchange_bound.h"

#include <algorithm>

#include "comm/point_to_point_communicator.h"
#include "engine/moe/expert_parallel/packed_tokens.h"
#include "engine/moe/expert_parallel/slot_table.h"
#include "kernels/core/ensure_capacity.h"

namespace moe {

void ExchangeBound::Cover(const ExchangeBound& layer) {
  slots = std::max(slots, layer.slots);
  gathered = std::max(gathered, layer.gathered);
  packed = std::max(packed, layer.packed);
  received = std::max(received, layer.received);
  results = std::max(results, layer.results);
  in_transit_first = std::max(in_transit_first, layer.in_transit_first);
  in_transit_second = std::max(in_transit_second, layer.in_transit_second);
  tables = std::max(tables, layer.tables);
  staging = std::max(staging, layer.staging);
}

int64_t ExchangeBound::MaxBytes() const {
  int64_t elements = staging;
  for (const int64_t buffer : {gathered, packed, received, results,
                               in_transit_first, in_transit_second, tables}) {
    elements += MaxGrowth(buffer, 0);
  }
  return elements * static_cast<int64_t>(sizeof(float));
}

ExchangeBound BoundExchange(const ModelConfig& model,
                            const ExchangeSize& size) {
  const int64_t hidden = model.hidden_size;
  const MoeConfig& moe = model.layers[size.degrees.layer].moe();
  const int64_t top_k = moe.top_k;
  const int64_t ep = size.degrees.expert_degree;
  const int64_t es = size.degrees.slice_degree;
  // Data ranks whose rows are gathered for the slices, and all whose rows come
  // to one copy of the experts.
  const int64_t gathering = std::max<int64_t>(1, es / size.tensor_degree);
  const int64_t sources = std::max<int64_t>(1, ep * es / size.tensor_degree);
  const int64_t own_rows = gathering * size.max_rows;
  const int64_t all_rows = sources * size.max_rows;
  const int64_t own_slots = own_rows * top_k;

  ExchangeBound bound;
  // A row chooses each expert once at most.
  bound.slots = all_rows * std::min<int64_t>(top_k, size.num_experts);
  if (ep * es == 1) return bound;
  const RowFormat routed = {hidden, 1}, whole = {hidden, top_k};
  if (gathering > 1) bound.gathered = own_rows * whole.stride();
  bound.packed = std::max({size.max_rows * whole.stride(),
                           own_slots * routed.stride(), bound.slots * hidden});
  if (ep > 1) {
    bound.received =
        std::max(all_rows * whole.stride(), bound.slots * routed.stride());
  }
  bound.results = own_slots * hidden;

  const bool has_replicas = ep > 1 && es < size.tensor_degree;
  // Of an expert group that is spread evenly over nodes, at most.
  const int64_t local_ranks = std::min<int64_t>(size.ranks_per_node, ep / 2);
  // Flat and replicated exchanges are possible everywhere; where another one is
  // pinned but not possible, any kind may be chosen.
  const bool may_take_two = size.pinned != ExchangeKind::kFlat &&
                            size.pinned != ExchangeKind::kReplicated;
  if (may_take_two && has_replicas) {  // a coordinated return
    bound.in_transit_first = own_slots * hidden;
  } else if (may_take_two && local_ranks > 1 && size.num_nodes > 1) {
    // A hierarchical exchange.
    const int64_t transit = local_ranks * own_slots * routed.stride();
    bound.in_transit_first = bound.in_transit_second = transit;
  }

  // With the offsets of the experts.
  if (gathering > 1) {
    bound.tables +=
        SlotTable::MaxElements(own_rows, top_k) + moe.num_experts + 1;
  }
  if (ep > 1) {
    bound.tables +=
        SlotTable::MaxElements(all_rows, top_k) + size.num_experts + 1;
  }
  // Where this rank's results lie, if a flat exchange parts a source group's
  // slots: of all slots, and of this rank's own, twice.
  if (has_replicas) bound.tables += own_slots + 2 * size.max_rows * top_k;
  bound.tables += size.num_experts + 1;  // offsets without rows
  bound.staging = PointToPointCommunicator::MaxAllReduceScratch(
      bound.slots * hidden, static_cast<int>(es));
  return bound;
}

}  // namespace moe
