#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "engine/config/model_config.h"
#include "engine/parallel/parallel_layout.h"
#include "engine/parallel/rank_shard.h"

namespace moe {

// The largest step, and where a rank stands in it.
struct StepSize {
  int64_t max_rows = 0;        // of each data rank
  int64_t max_logit_rows = 0;  // of each data rank
  int data_degree = 1;
  bool gathers_logits = true;  // rank 0
  int ranks_per_node = 1;      // the most that a node has
};

// Bytes that a rank may need for the rows of one step, beyond what it holds
// once its part of the model is loaded: the sum of what the owners of that
// memory need at most, however unevenly the rows choose their experts. Weights,
// keys and values and MPI's own memory are not in it. `layers`: of all MoE
// layers, in order; empty for a rank alone.
int64_t MaxStepBytes(const ModelConfig& model, const RankShard& shard,
                     absl::Span<const MoeLayerDegrees> layers,
                     const StepSize& size);

}  // namespace moe
