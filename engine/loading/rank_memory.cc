#include "engine/loading/rank_memory.h"

#include <algorithm>

#include "engine/moe/packed_tokens.h"

namespace moe {
namespace {

constexpr int64_t kElementBytes = 4;

// Of a sum of `count` numbers over `ranks` ranks: all numbers of both of two,
// or a part of those of each of more (PointToPointCommunicator::AllReduce).
int64_t ScratchOfSum(int64_t count, int ranks) {
  if (ranks == 1) return 0;
  return ranks == 2 ? 2 * count : count + ranks;
}

// A buffer that is made for `now` and grows to hold `most` (EnsureCapacity): what it
// takes in addition.
int64_t Growth(int64_t most, int64_t now) {
  return most <= now ? 0 : most + most / 2 - now;
}

}  // namespace

MoeLayerBound BoundMoeLayer(const ModelConfig& model,
                            const MoeLayerDegrees& degrees,
                            const ExpertShard& experts, int tensor_degree,
                            const StepSize& size) {
  const int64_t hidden = model.hidden_size;
  const int64_t top_k = model.layers[degrees.layer].moe().top_k;
  const int64_t ep = degrees.expert_degree, es = degrees.slice_degree;
  // Data ranks that unite their rows, and all whose rows come to one copy of
  // the experts.
  const int64_t united = std::max<int64_t>(1, es / tensor_degree);
  const int64_t sources = std::max<int64_t>(1, ep * es / tensor_degree);
  const int64_t own_rows = united * size.max_rows;
  const int64_t all_rows = sources * size.max_rows;
  const int64_t own_slots = own_rows * top_k;

  MoeLayerBound bound;
  // A row chooses each expert once at most.
  bound.slots = all_rows * std::min<int64_t>(top_k, experts.num_experts);
  if (ep * es == 1) return bound;
  const RowFormat routed = {hidden, 1}, whole = {hidden, top_k};
  if (united > 1) bound.united = own_rows * whole.stride();
  bound.packed = std::max({size.max_rows * whole.stride(),
                           own_slots * routed.stride(), bound.slots * hidden});
  if (ep > 1) {
    bound.arrived =
        std::max(all_rows * whole.stride(), bound.slots * routed.stride());
  }
  bound.results = own_slots * hidden;

  // One kind of exchange at a time.
  const int64_t coordinated = own_slots * hidden;
  const int64_t places = std::min<int64_t>(size.ranks_per_node, ep);
  const int64_t hierarchical =
      tensor_degree <= es && places > 1 && places < ep
          ? (1 + 2 * places) * own_slots * routed.stride()
          : 0;
  // Three tables and one that is in the making.
  const int64_t tables = 4 * all_rows * top_k;
  bound.passing = tables + std::max(coordinated, hierarchical) +
                  ScratchOfSum(bound.slots * hidden, static_cast<int>(es));
  return bound;
}

int64_t MaxStepBytes(const ModelConfig& model, const RankShard& shard,
                      absl::Span<const MoeLayerDegrees> layers,
                      const StepSize& size) {
  const int64_t hidden = model.hidden_size;
  const int64_t own_slots = size.max_rows * model.max_top_k();
  // What the largest layer takes of each of the buffers, which all share.
  MoeLayerBound most;
  // Slots x features inside an expert: out of `up`, and behind a gate.
  int64_t up = 0, gated = 0, own_up = 0, own_gated = 0;
  for (const MoeLayerDegrees& degrees : layers) {
    const MoeLayerBound bound =
        BoundMoeLayer(model, degrees, shard.experts[degrees.layer],
                      shard.tensor_degree, size);
    most.slots = std::max(most.slots, bound.slots);
    most.united = std::max(most.united, bound.united);
    most.packed = std::max(most.packed, bound.packed);
    most.arrived = std::max(most.arrived, bound.arrived);
    most.results = std::max(most.results, bound.results);
    most.passing = std::max(most.passing, bound.passing);
    const MlpConfig& expert = model.layers[degrees.layer].moe().mlp;
    const int64_t slices = degrees.slice_degree;
    up = std::max(up, bound.slots * expert.up_rows() / slices);
    if (expert.is_gated()) {
      gated = std::max(gated, bound.slots * expert.ffn_hidden_size / slices);
    }
  }
  // MoeScratch is there, for the rank's own rows and whole experts.
  for (const LayerConfig& layer : model.layers) {
    if (!layer.is_moe()) continue;
    const MlpConfig& expert = layer.moe().mlp;
    own_up = std::max(own_up, own_slots * expert.up_rows());
    if (expert.is_gated()) {
      own_gated = std::max(own_gated, own_slots * expert.ffn_hidden_size);
    }
  }
  int64_t elements = Growth(most.slots * hidden, own_slots * hidden) +
                     Growth(up, own_up) + Growth(gated, own_gated);
  for (int64_t buffer :
       {most.united, most.packed, most.arrived, most.results}) {
    elements += Growth(buffer, 0);
  }
  elements +=
      most.passing + ScratchOfSum(size.max_rows * hidden, shard.tensor_degree);
  // Rank 0 has all logits, and slices to be put side by side.
  if (size.gathers_logits) {
    elements += (shard.tensor_degree > 1 ? 2 : 1) * size.data_degree *
                size.max_logit_rows * model.vocab_size;
  } else {
    elements += size.max_logit_rows * shard.Vocab(model).size();
  }
  return elements * kElementBytes;
}

}  // namespace moe
