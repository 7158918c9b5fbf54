#pragma once

#include <cstdint>
#include <optional>

#include "engine/config/model_config.h"
#include "engine/parallel/exchange_kind.h"
#include "engine/parallel/parallel_layout.h"

namespace moe {

// What one MoE layer needs on one rank, beyond what is there before the first
// step, if all rows of all data ranks choose the rank's experts. In elements of
// 4 bytes but for slots.
struct ExchangeBound {
  int64_t slots = 0;  // pairs of a row and an expert of this rank
  // The tensors of ExchangeBuffers; 0 where nothing is exchanged.
  int64_t gathered = 0;  // rows of all data ranks of a slice group
  int64_t packed = 0;    // rows to be sent
  int64_t received = 0;  // rows that came in
  int64_t results = 0;   // of this rank's rows
  // Between the two exchanges of one that is made of two.
  int64_t in_transit_first = 0;
  int64_t in_transit_second = 0;
  int64_t tables = 0;   // of where rows and experts lie
  int64_t staging = 0;  // sums over slices; does not grow

  // Raises each bound to that of `layer`: layers share their buffers.
  void Cover(const ExchangeBound& layer);

  // Of all but the slots, when the buffers have grown (EnsureCapacity).
  int64_t MaxBytes() const;
};

// What a bound depends on, beside the model.
struct ExchangeSize {
  MoeLayerDegrees degrees;
  int64_t num_experts = 0;  // of the layer's, those of this rank
  int tensor_degree = 1;
  int64_t max_rows = 0;  // of each data rank in one step
  int num_nodes = 1;
  int ranks_per_node = 1;  // the most that a node has
  std::optional<ExchangeKind> pinned;
};

ExchangeBound BoundExchange(const ModelConfig& model, const ExchangeSize& size);

}  // namespace moe
