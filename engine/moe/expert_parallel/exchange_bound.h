#pragma once

#include <cstdint>

#include "engine/config/model_config.h"
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
  int64_t tables = 0;   // that sort rows by expert
  int64_t staging = 0;  // sums over slices; does not grow

  // Raises each bound to that of `layer`: layers share their buffers.
  void Cover(const ExchangeBound& layer);

  // Of all but the slots, when the buffers have grown (EnsureCapacity).
  int64_t MaxBytes() const;
};

// Of a layer with `degrees`, of which the rank has `num_experts`, in steps of
// at most `max_rows` of each data rank. `ranks_per_node`: the most that a node
// has.
ExchangeBound BoundExchange(const ModelConfig& model,
                            const MoeLayerDegrees& degrees, int64_t num_experts,
                            int tensor_degree, int64_t max_rows,
                            int ranks_per_node);

}  // namespace moe
