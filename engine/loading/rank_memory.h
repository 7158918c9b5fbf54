#pragma once

#include <cstdint>
#include <optional>

#include "absl/types/span.h"
#include "engine/config/model_config.h"
#include "engine/parallel/exchange_kind.h"
#include "engine/parallel/parallel_layout.h"
#include "engine/parallel/rank_shard.h"

namespace moe {

// The largest step, and the role of a rank in it.
struct StepSize {
  int64_t max_rows = 0;        // of each data rank
  int64_t max_logit_rows = 0;  // of each data rank
  int data_degree = 1;
  bool gathers_logits = true;  // rank 0
  int num_nodes = 1;
  int ranks_per_node = 1;  // the maximum over the nodes
  std::optional<ExchangeKind> pinned_exchange = std::nullopt;
};

// Upper bound of the bytes that a rank allocates for one step after its part of
// the model is loaded: the sum of the bounds of the owners of that memory, for
// any choice of experts. Does not include weights, KV cache and the memory of
// MPI. `layers`: all MoE layers, in order; empty for one rank.
int64_t MaxStepBytes(const ModelConfig& model, const RankShard& shard,
                     absl::Span<const MoeLayerDegrees> layers,
                     const StepSize& size);

}  // namespace moe
