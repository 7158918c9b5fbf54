#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/exchange_cost_model.h"
#include "comm/parallel_layout.h"
#include "comm/topology.h"
#include "engine/config/model_config.h"
#include "engine/config/parallel_options.h"
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
  double read_bytes_per_second = 8e9;  // weights from memory
  double flops_per_second = 60e9;      // matrix products
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

struct ParallelPlan {
  ParallelLayout layout;
  // What `layout` was made of, one entry for each MoE layer, in order.
  std::vector<MoeLayerDegrees> moe_layers;
  PlanPrediction prediction;
  // For operators, a sentence each: the tensor degree and its alternatives,
  // each kind of MoE layer with its degrees and the next best ones, memory.
  std::vector<std::string> why;
};

// Lays a model over the ranks of `topology`. What the options leave open is
// chosen such that it fits the memory and then such that a decode step is
// predicted to take the least time; ties go to fewer slices and more copies.
// A pure function. `config` must be valid.
//   kInvalidArgument, naming the layer and the numbers: an option that the
//     model or the number of ranks does not allow.
//   kResourceExhausted: what is fixed, or even the leanest layout, needs more
//     memory than a rank has.
absl::StatusOr<ParallelPlan> PlanParallel(const ModelConfig& config,
                                          const ParallelOptions& options,
                                          const Topology& topology,
                                          const ExchangeCosts& costs,
                                          const RankResources& rank);

}  // namespace moe
