#include "engine/moe/exchange_bound.h"

#include <algorithm>

#include "comm/point_to_point_communicator.h"
#include "engine/moe/ensure_capacity.h"
#include "engine/moe/packed_tokens.h"

namespace moe {

void ExchangeBound::Cover(const ExchangeBound& layer) {
  slots = std::max(slots, layer.slots);
  gathered = std::max(gathered, layer.gathered);
  packed = std::max(packed, layer.packed);
  received = std::max(received, layer.received);
  results = std::max(results, layer.results);
  staging = std::max(staging, layer.staging);
}

int64_t ExchangeBound::MaxBytes() const {
  int64_t elements = staging;
  for (const int64_t buffer : {gathered, packed, received, results}) {
    elements += MaxGrowth(buffer, 0);
  }
  return elements * static_cast<int64_t>(sizeof(float));
}

ExchangeBound BoundExchange(const ModelConfig& model,
                            const MoeLayerDegrees& degrees, int64_t num_experts,
                            int tensor_degree, int64_t max_rows,
                            int ranks_per_node) {
  const int64_t hidden = model.hidden_size;
  const int64_t top_k = model.layers[degrees.layer].moe().top_k;
  const int64_t ep = degrees.expert_degree, es = degrees.slice_degree;
  // Data ranks whose rows are gathered for the slices, and all whose rows come
  // to one copy of the experts.
  const int64_t gathering = std::max<int64_t>(1, es / tensor_degree);
  const int64_t sources = std::max<int64_t>(1, ep * es / tensor_degree);
  const int64_t own_rows = gathering * max_rows;
  const int64_t all_rows = sources * max_rows;
  const int64_t own_slots = own_rows * top_k;

  ExchangeBound bound;
  // A row chooses each expert once at most.
  bound.slots = all_rows * std::min<int64_t>(top_k, num_experts);
  if (ep * es == 1) return bound;
  const RowFormat routed = {hidden, 1}, whole = {hidden, top_k};
  if (gathering > 1) bound.gathered = own_rows * whole.stride();
  bound.packed = std::max({max_rows * whole.stride(),
                           own_slots * routed.stride(), bound.slots * hidden});
  if (ep > 1) {
    bound.received =
        std::max(all_rows * whole.stride(), bound.slots * routed.stride());
  }
  bound.results = own_slots * hidden;

  // One kind of exchange at a time.
  const int64_t coordinated = own_slots * hidden;
  const int64_t local_ranks = std::min<int64_t>(ranks_per_node, ep);
  const int64_t hierarchical =
      tensor_degree <= es && local_ranks > 1 && local_ranks < ep
          ? (1 + 2 * local_ranks) * own_slots * routed.stride()
          : 0;
  // Three tables and one that is in the making.
  const int64_t tables = 4 * all_rows * top_k;
  bound.staging = tables + std::max(coordinated, hierarchical) +
                  PointToPointCommunicator::MaxAllReduceScratch(
                      bound.slots * hidden, static_cast<int>(es));
  return bound;
}

}  // namespace moe
