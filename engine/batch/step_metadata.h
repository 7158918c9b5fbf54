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

// The metadata of a batch as tensors on the device, for the ops of a step. It
// is packed into one pinned buffer and uploaded with one copy per step; if the
// device uses host memory, the tensors are views of the packed buffer. Owned by
// the model. Not thread-safe.
class StepMetadata {
 public:
  // Allocates memory for steps of up to max_rows rows with block tables of up
  // to 16 blocks a row; it grows for larger tables. Borrows `backend`.
  // kResourceExhausted if memory is short.
  static absl::StatusOr<StepMetadata> Create(DeviceBackend& backend,
                                             int64_t max_rows);

  // Packs `batch`, which CheckStep has accepted for a cache with blocks of
  // `block_size` tokens, and enqueues the upload on `stream`. Waits first for
  // the end of the previous upload, whose buffer it reuses. The views below
  // describe this batch until the next call.
  absl::Status Upload(const Batch& batch, int64_t block_size, Stream& stream);

  const TensorView& token_ids() const { return token_ids_; }  // [rows] i32
  const TensorView& positions() const { return positions_; }  // [rows] i32
  // The KV slot of each row: block * block_size + offset. [rows] i64
  const TensorView& kv_slots() const { return kv_slots_; }
  // The KV blocks of each sequence, in order; entries after the last block are
  // undefined. [sequences, max_blocks_per_sequence of the step] i32
  const TensorView& block_table() const { return block_table_; }
  // Rows [offsets[s], offsets[s + 1]) belong to sequence s. [sequences + 1] i32
  const TensorView& sequence_offsets() const { return sequence_offsets_; }
  // Context length of each sequence, including this step's tokens. [sequences]
  // i32
  const TensorView& context_lengths() const { return context_lengths_; }
  // Rows whose logits are requested. [logit rows] i32
  const TensorView& logit_rows() const { return logit_rows_; }

 private:
  explicit StepMetadata(DeviceBackend& backend) : backend_(&backend) {}

  bool on_host() const { return backend_->device() == Device{}; }
  absl::Status Reserve(size_t bytes, Stream& stream);

  DeviceBackend* backend_;
  Tensor host_;    // [bytes] u8, pinned
  Tensor device_;  // [bytes] u8; empty if the device uses host memory
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
