#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "comm/topology.h"
#include "engine/config/model_config.h"
#include "engine/config/weight_inventory.h"
#include "engine/parallel/exchange_cost_model.h"
#include "engine/parallel/exchange_kind.h"
#include "engine/parallel/parallel_layout.h"
#include "kernels/core/dtype.h"

namespace moe {

// What the planner takes a rank to be. Equal on all ranks (the least of them),
// or they would come to different plans.
struct RankResources {
  DType weight_dtype = DType::kBf16;
  // Memory for weights, keys and values; 0: unknown, not looked at.
  int64_t memory_bytes = 0;
  // Keys and values that a data rank must be able to hold, in tokens; 0: one
  // sequence of the longest context.
  int64_t cache_tokens = 0;
  // Of one rank, while all ranks of its node work. Only the proportions to each
  // other and to the exchange costs matter.
  double read_bytes_per_second = 10e9;  // weights from memory
  double flops_per_second = 150e9;      // matrix products
  // Sequences that decode at a time, over all ranks: the step to be fast in.
  int64_t decode_batch = 8;
};

// The time that a decode step is predicted to take, and the memory of a rank:
// of the slowest and the fullest rank.
struct PlanPrediction {
  absl::Duration weights;    // reading them (or computing, if that is longer)
  absl::Duration reduce;     // all-reduces of tensor and slice groups
  absl::Duration exchange;   // of tokens among experts, less what is hidden
  absl::Duration logits;     // gathering them on rank 0
  int64_t weight_bytes = 0;  // of one rank
  int64_t cache_bytes = 0;   // of RankResources::cache_tokens, on one rank

  absl::Duration total() const { return weights + reduce + exchange + logits; }
};

// What one layer (or all that is not an expert) adds to a decode step and to
// the memory of the slowest and fullest rank.
struct ParallelCostPart {
  PlanPrediction prediction;
  // Of a MoE layer: the kind of exchange, and the most experts on a rank.
  ExchangeKind exchange = ExchangeKind::kFlat;
  int64_t local_experts = 0;
};

// The cost model behind PlanParallel, for one tensor degree (which must divide
// the world and the model). Borrows its arguments. Pure; thread-safe.
class ParallelCost {
 public:
  ParallelCost(const ModelConfig& config, const Topology& topology,
               const ExchangeCosts& costs, const RankResources& rank,
               int tensor_degree);

  // Attention, dense and residual MLP, embeddings, logits: everything that the
  // tensor degree alone decides.
  ParallelCostPart Shared() const;

  // The experts of one MoE layer: reading those that the rows of a step are
  // expected to choose on the busiest rank, the exchange (the fastest that
  // applies, or the pinned one) and the sums over slices. nullopt if the pinned
  // exchange is not possible. Where the exchange crosses nodes it is hidden
  // behind the residual MLP, if the model has one.
  std::optional<ParallelCostPart> MoeLayer(
      const MoeLayerDegrees& degrees, std::optional<ExchangeKind> pinned) const;

 private:
  struct Peers {
    int near = 0, far = 0;  // of one rank: in its node, elsewhere
  };
  // In groups of consecutive ranks, of the rank with most peers elsewhere.
  Peers PeersInRunsOf(int size) const;
  ExchangeShape ShapeOf(const ExpertPlacement& placement) const;
  // Reading `parameters` once and multiplying `rows` rows by them.
  absl::Duration ReadTime(double parameters, double rows) const;
  // Of the packed matrices among `weights` that are partitioned over `degree`
  // ranks, what the fullest of them has.
  double PackedElements(const std::vector<WeightSpec>& weights,
                        int degree) const;

  const ModelConfig& config_;
  const WeightInventory inventory_;
  const Topology& topology_;
  const ExchangeCosts& costs_;
  const RankResources& rank_;
  const int tensor_degree_;
  const int data_degree_;
  const double rows_;  // of the data rank with the most
};

}  // namespace moe
