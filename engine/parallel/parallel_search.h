#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/topology.h"
#include "engine/config/model_config.h"
#include "engine/parallel/exchange_cost_model.h"
#include "engine/parallel/parallel_cost.h"
#include "engine/parallel/parallel_layout.h"
#include "engine/parallel/parallel_options.h"

namespace moe {

// Predictions that differ by less are the same: no model is so exact, and what
// is measured varies from start to start.
inline constexpr double kSameTime = 1.05;

// One way to spread the experts of a layer.
struct MoeLayerChoice {
  int expert_degree = 1;
  int slice_degree = 1;
  ParallelCostPart cost;
};

// MoE layers of the same configuration and fixed degrees: they get the same
// layout.
struct MoeLayerKind {
  std::vector<int> layers;  // in the model, ascending
  int num_experts = 0;
  int fixed_expert_degree = 0;  // 0: free
  int fixed_slice_degree = 0;
  std::vector<MoeLayerChoice> choices;  // that are possible, the fastest first
  size_t preferred = 0;                 // without regard to memory
  size_t chosen = 0;
};

// The best that one tensor degree can do.
struct TensorDegreeChoice {
  int tensor_degree = 1;
  std::vector<MoeLayerKind> kinds;
  PlanPrediction prediction;       // of the whole model
  int64_t fastest_bytes = 0;       // a rank's memory, were there enough of it
  bool fits = true;                // the memory of a rank
  bool limited_by_memory = false;  // something faster did not fit
};

// The MoE layers of a model with what the options fix of each.
// kInvalidArgument naming the layer.
absl::StatusOr<std::vector<MoeLayerKind>> GroupMoeLayers(
    const ModelConfig& config, const ParallelOptions& options);

// Whether attention and MLPs can be cut into so many parts. kInvalidArgument
// with the numbers.
absl::Status CheckTensorDegree(const ModelConfig& config, int world_size,
                               int tensor_degree);

// Chooses the degrees of each kind of layer: the fastest (within a few percent,
// the one with fewest slices, then with least memory), then, while a rank's
// memory does not hold them, whichever change costs the least time for each
// byte it saves. kInvalidArgument naming the layer if a kind has no choice.
absl::StatusOr<TensorDegreeChoice> ChooseMoeDegrees(
    const ModelConfig& config, const ParallelOptions& options,
    const Topology& topology, const ExchangeCosts& costs,
    const RankResources& rank, int tensor_degree,
    absl::Span<const MoeLayerKind> kinds);

}  // namespace moe
