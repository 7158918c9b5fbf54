#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/batch/batch.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// What the ops of a step must know of its rows, as tensors on the device. All
// of it is packed into one pinned buffer and uploaded by one copy a step; where
// the device's memory is the host's, the tensors are the packed buffer itself.
// Owned by the model. Not thread-safe.
class StepMetadata {
 public:
  // Allocates for steps of up to max_rows rows whose block tables have up to
  // 16 blocks a row; for larger tables the memory grows. `backend` is borrowed.
  // kResourceExhausted without memory.
  static absl::StatusOr<StepMetadata> Create(DeviceBackend& backend,
                                             int64_t max_rows);

  // Packs `batch`, which CheckStep has accepted for a cache with blocks of
  // `block_size` tokens, and enqueues the upload on `stream`. Waits first for
  // the end of the upload before, whose buffer it writes to. The views below
  // are those of this batch until the next call.
  absl::Status Upload(const Batch& batch, int64_t block_size, Stream& stream);

  const TensorView& token_ids() const { return token_ids_; }  // [rows] i32
  const TensorView& positions() const { return positions_; }  // [rows] i32
  // Where each row's key and value go: block * block_size + offset. [rows] i64
  const TensorView& kv_slots() const { return kv_slots_; }
  // The KV blocks of each sequence, in order; what follows a sequence's own is
  // undefined. [sequences, most blocks of a sequence of the step] i32
  const TensorView& block_table() const { return block_table_; }
  // Rows [offsets[s], offsets[s + 1]) are those of sequence s. [sequences + 1]
  // i32
  const TensorView& sequence_offsets() const { return sequence_offsets_; }
  // Tokens of each sequence, those of this step included. [sequences] i32
  const TensorView& context_lengths() const { return context_lengths_; }
  // Rows whose logits are wanted. [logit rows] i32
  const TensorView& logit_rows() const { return logit_rows_; }

 private:
  explicit StepMetadata(DeviceBackend& backend) : backend_(&backend) {}

  bool on_host() const { return backend_->device() == Device{}; }
  absl::Status Reserve(size_t bytes, Stream& stream);

  DeviceBackend* backend_;
  Tensor host_;    // [bytes] u8, pinned
  Tensor device_;  // [bytes] u8; empty on the host
  std::unique_ptr<Event> uploaded_;

  TensorView token_ids_;
  TensorView positions_;
  TensorView kv_slots_;
  TensorView block_table_;
  TensorView sequence_offsets_;
  TensorView context_lengths_;
  TensorView logit_rows_;
};

}  // namespace moe
