#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "comm/parallel_layout.h"
#include "engine/config/model_config.h"
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

// What one MoE layer takes of one rank if all rows of all data ranks choose its
// experts. In elements of 4 bytes but for slots.
struct MoeLayerBound {
  int64_t slots = 0;  // pairs of a row and an expert of this rank
  // As ExchangeBuffers has them; 0 where nothing travels.
  int64_t united = 0;
  int64_t packed = 0;
  int64_t arrived = 0;
  int64_t results = 0;
  // In the exchange itself, and the tables that sort rows.
  int64_t passing = 0;
};

// Of the layer with these degrees, of which a rank of `shard` has `experts`.
MoeLayerBound BoundMoeLayer(const ModelConfig& model,
                            const MoeLayerDegrees& degrees,
                            const ExpertShard& experts, int tensor_degree,
                            const StepSize& size);

// Bytes that a rank may need, beyond what it holds once its part of the model
// is loaded, for the rows of one step: its experts' share, and the exchange of
// rows, however unevenly the rows choose their experts (buffers grow by half
// more than they need), sums over ranks and logits. Weights, keys and values
// and MPI's own memory are not in it. `layers`: of all MoE layers, in order;
// empty for a rank alone.
int64_t MaxStepBytes(const ModelConfig& model, const RankShard& shard,
                      absl::Span<const MoeLayerDegrees> layers,
                      const StepSize& size);

}  // namespace moe
