#include "engine/batch/step_metadata.h"

#include <algorithm>
#include <cstddef>
#include <initializer_list>

#include "kernels/core/dtype.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr size_t kAlignment = 64;
constexpr int64_t kBlocksPerRow = 16;

// Allocates tables from one buffer. The host writes a pinned copy; ops read the
// device's copy at the same offsets.
class Packer {
 public:
  // Bytes of a table of `elements`, with alignment.
  static size_t Bytes(DType dtype, int64_t elements) {
    const size_t bytes = static_cast<size_t>(elements) * SizeOf(dtype);
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

  Packer(const TensorView& host, const TensorView& device)
      : host_(host.ptr<std::byte>()), device_(device) {}

  // Allocates the next table: returns the host's copy and sets `view` to the
  // device's.
  template <typename T>
  T* Take(DType dtype, std::initializer_list<int64_t> dims, TensorView& view) {
    view = MakeView(device_.ptr<std::byte>() + offset_, dtype, dims,
                    device_.device);
    T* const data = reinterpret_cast<T*>(host_ + offset_);
    offset_ += Bytes(dtype, view.num_elements());
    return data;
  }

  size_t offset() const { return offset_; }

 private:
  std::byte* host_;
  TensorView device_;
  size_t offset_ = 0;
};

int64_t BlocksOf(const SequenceSlice& sequence, int64_t block_size) {
  const int64_t tokens = int64_t{sequence.start_position} + sequence.num_tokens;
  return (tokens + block_size - 1) / block_size;
}

size_t PackedBytes(int64_t rows, int64_t sequences, int64_t blocks,
                   int64_t logit_rows) {
  return Packer::Bytes(DType::kI64, rows) +
         2 * Packer::Bytes(DType::kI32, rows) +
         Packer::Bytes(DType::kI32, sequences + 1) +
         Packer::Bytes(DType::kI32, sequences) +
         Packer::Bytes(DType::kI32, logit_rows) +
         Packer::Bytes(DType::kI32, blocks);
}

}  // namespace

absl::StatusOr<StepMetadata> StepMetadata::Create(DeviceBackend& backend,
                                                  int64_t max_rows) {
  StepMetadata metadata(backend);
  const int64_t bytes = static_cast<int64_t>(
      PackedBytes(max_rows, max_rows, kBlocksPerRow * max_rows, max_rows));
  ASSIGN_OR_RETURN(metadata.host_,
                   Tensor::AllocatePinned(backend, DType::kU8, {bytes}));
  if (!metadata.on_host()) {
    ASSIGN_OR_RETURN(metadata.device_,
                     Tensor::Allocate(backend, DType::kU8, {bytes}));
  }
  return metadata;
}

absl::Status StepMetadata::Reserve(size_t bytes, Stream& stream) {
  if (host_.num_bytes() >= bytes) return absl::OkStatus();
  const int64_t size = static_cast<int64_t>(bytes + bytes / 2);
  // Ops of the previous step may still read the old buffer.
  RETURN_IF_ERROR(stream.Synchronize());
  host_ = Tensor();
  ASSIGN_OR_RETURN(host_,
                   Tensor::AllocatePinned(*backend_, DType::kU8, {size}));
  if (on_host()) return absl::OkStatus();
  device_ = Tensor();
  ASSIGN_OR_RETURN(device_, Tensor::Allocate(*backend_, DType::kU8, {size}));
  return absl::OkStatus();
}

absl::Status StepMetadata::Upload(const Batch& batch, int64_t block_size,
                                  Stream& stream) {
  if (uploaded_ != nullptr) {
    RETURN_IF_ERROR(uploaded_->Wait());
    uploaded_.reset();
  }
  const int64_t rows = batch.num_rows();
  const int64_t sequences = static_cast<int64_t>(batch.sequences.size());
  const int64_t logit_rows = static_cast<int64_t>(batch.logit_rows.size());
  int64_t width = 1;
  for (const SequenceSlice& sequence : batch.sequences) {
    width = std::max(width, BlocksOf(sequence, block_size));
  }
  RETURN_IF_ERROR(Reserve(
      PackedBytes(rows, sequences, sequences * width, logit_rows), stream));

  Packer packer(host_.view(), on_host() ? host_.view() : device_.view());
  int64_t* slot = packer.Take<int64_t>(DType::kI64, {rows}, kv_slots_);
  std::copy(batch.token_ids.begin(), batch.token_ids.end(),
            packer.Take<int32_t>(DType::kI32, {rows}, token_ids_));
  std::copy(batch.positions.begin(), batch.positions.end(),
            packer.Take<int32_t>(DType::kI32, {rows}, positions_));
  int32_t* offset =
      packer.Take<int32_t>(DType::kI32, {sequences + 1}, sequence_offsets_);
  int32_t* context =
      packer.Take<int32_t>(DType::kI32, {sequences}, context_lengths_);
  std::copy(batch.logit_rows.begin(), batch.logit_rows.end(),
            packer.Take<int32_t>(DType::kI32, {logit_rows}, logit_rows_));
  int32_t* blocks =
      packer.Take<int32_t>(DType::kI32, {sequences, width}, block_table_);
  *offset = 0;
  for (const SequenceSlice& sequence : batch.sequences) {
    for (int32_t i = 0; i < sequence.num_tokens; ++i) {
      const int64_t position = sequence.start_position + i;
      *slot++ = sequence.block_ids[position / block_size] * block_size +
                position % block_size;
    }
    offset[1] = *offset + sequence.num_tokens;
    ++offset;
    *context++ = sequence.start_position + sequence.num_tokens;
    std::copy_n(sequence.block_ids.begin(), BlocksOf(sequence, block_size),
                blocks);
    blocks += width;
  }
  if (on_host()) return absl::OkStatus();
  const int64_t bytes = static_cast<int64_t>(packer.offset());
  RETURN_IF_ERROR(
      stream.Copy(host_.view().Rows(0, bytes), device_.view().Rows(0, bytes)));
  ASSIGN_OR_RETURN(uploaded_, stream.Record());
  return absl::OkStatus();
}

}  // namespace moe
