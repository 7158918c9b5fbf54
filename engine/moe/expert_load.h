#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"

namespace moe {

// What one MoE layer did on one rank since the model was loaded.
struct MoeLayerLoad {
  int32_t layer = 0;         // of the model
  int32_t first_expert = 0;  // this rank's experts
  int32_t num_experts = 0;

  // How often rows of this rank chose each expert of the layer, wherever it
  // lives. Ranks of one tensor group have the same rows: of a group, count one.
  // [experts]
  std::vector<int64_t> rows_by_expert;
  // (row, expert) pairs that this rank's experts computed, from any rank.
  int64_t computed_slots = 0;

  // Steps by ExchangeKind; none where a rank has all experts.
  std::array<int64_t, 4> exchanges = {};
  int64_t messages = 0;   // sent for them: counts, rows, results, slice sums
  int64_t bytes = 0;      // in these messages
  absl::Duration waited;  // the rank had nothing to do but wait for them
  // They were under way while the rank computed.
  absl::Duration hidden;
};

// One rank's view; cheap enough to be always counted. A value; thread-
// compatible: copied on the thread that runs the model.
struct ExpertLoad {
  std::vector<MoeLayerLoad> layers;  // the MoE layers, ascending

  // Over all layers.
  absl::Duration waited() const;
  absl::Duration hidden() const;

  // A flat form for messages between ranks; times in nanoseconds.
  std::vector<int64_t> ToWords() const;
  // kInvalidArgument if they are not of ToWords.
  static absl::StatusOr<ExpertLoad> FromWords(absl::Span<const int64_t> words);
};

// One MoE layer over all ranks.
struct MoeLayerLoadSummary {
  int32_t layer = 0;
  std::vector<int64_t> rows_by_expert;  // [experts]
  std::vector<int64_t> slots_by_rank;   // [ranks]
  // Largest over mean; 0 before the first step.
  double expert_imbalance = 0;
  double rank_imbalance = 0;
};

// `ranks`: of every rank of the world, in order; each run of `tensor_degree`
// has the same rows. kInvalidArgument if they are not of one model.
absl::StatusOr<std::vector<MoeLayerLoadSummary>> SummarizeExpertLoad(
    absl::Span<const ExpertLoad> ranks, int tensor_degree);

}  // namespace moe
