#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "comm/topology.h"
#include "engine/config/model_config.h"
#include "engine/parallel/exchange_cost_model.h"
#include "engine/parallel/parallel_cost.h"
#include "engine/parallel/parallel_layout.h"
#include "engine/parallel/parallel_options.h"

namespace moe {

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
// predicted to take the least time; about equal times go to fewer slices and
// less memory.
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
