#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/communicator.h"
#include "comm/host_communicator.h"
#include "engine/config/model_config.h"
#include "engine/moe/expert_parallel/exchange_buffers.h"
#include "engine/moe/expert_parallel/packed_tokens.h"
#include "engine/parallel/parallel_layout.h"
#include "engine/parallel/process_groups.h"

namespace moe {

// What all exchanges of one MoE layer have in common on one rank: who takes
// part, which experts are where, how rows are packed.
//
// The expert group has p = D x L ranks: L replicas hold the same rows, D source
// groups of them different ones. Where a slice group spans several data ranks
// (slice degree above tensor degree) a source group has the rows of all of
// them, so that all slices of an expert get the same.
struct LayerExchange {
  // Of the model's layer `layer`, its `moe_layer_idx`-th with experts. `groups`
  // and `buffers` are borrowed.
  LayerExchange(const ModelConfig& config, int64_t layer, int moe_layer_idx,
                ProcessGroups& groups, ExchangeBuffers* buffers);

  int num_ranks() const { return groups.expert->size(); }
  int num_replicas() const { return groups.expert_replicas->size(); }  // L
  int num_sources() const { return groups.expert_peers->size(); }      // D
  int source() const { return groups.expert_peers->rank(); }

  // The number of expert slots that each rank of the expert group computes for
  // a source group, from the group's offsets on the host. [p]
  std::vector<int64_t> SlotsByRank(
      absl::Span<const int32_t> expert_offsets) const;

  // Of all groups of the layer.
  CommunicatorCounters Counters() const;

  // OK, or the failure of one of the layer's groups.
  absl::Status GroupStatus() const;

  const int64_t layer;
  const int64_t hidden;
  const int64_t top_k;
  const MoeLayerGroups groups;
  const std::vector<Communicator*> all_groups;  // of `groups`, each once
  const ExpertPlacement placement;
  const int64_t first_expert;  // of this rank's
  const int64_t num_experts;   // of this rank
  const int tensor_degree;
  const int data_degree;
  const int data_rank;
  // Source group d has the rows of data ranks [first + d * span, + span).
  const int first_data_rank;
  const int data_ranks_per_source;
  const RowFormat routed;  // one expert's id with each row
  const RowFormat whole;   // all of its experts' ids
  ExchangeBuffers* const buffers;
};

}  // namespace moe
