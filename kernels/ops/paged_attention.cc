#include "kernels/ops/paged_attention.h"

#include "absl/strings/str_cat.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {
namespace {

constexpr char kOp[] = "PagedAttention";

absl::Status CheckSequence(const AttentionSequence& sequence, int64_t index,
                           int64_t rows, int64_t blocks, int64_t block_size) {
  const int64_t end = int64_t{sequence.start_position} + sequence.num_tokens;
  if (sequence.num_tokens < 0 || sequence.start_position < 0 ||
      sequence.first_row < 0 ||
      int64_t{sequence.first_row} + sequence.num_tokens > rows) {
    return absl::InvalidArgumentError(absl::StrCat(
        kOp, ": sequence ", index, " has rows ", sequence.first_row, " + ",
        sequence.num_tokens, " of ", rows, " and starts at position ",
        sequence.start_position));
  }
  const int64_t needed = (end + block_size - 1) / block_size;
  if (static_cast<int64_t>(sequence.block_ids.size()) < needed) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": sequence ", index, " of ", end, " tokens has ",
                     sequence.block_ids.size(), " blocks of ", block_size,
                     ", needs ", needed));
  }
  for (int64_t b = 0; b < needed; ++b) {
    if (sequence.block_ids[b] < 0 || sequence.block_ids[b] >= blocks) {
      return absl::InvalidArgumentError(
          absl::StrCat(kOp, ": block ", sequence.block_ids[b], " of sequence ",
                       index, " is outside [0, ", blocks, ")"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status PagedAttention(const PagedAttentionArgs& args, Stream& stream) {
  RETURN_IF_ERROR(CheckTensor(kOp, "q", args.q, DType::kF32,
                              {kAnySize, kAnySize, kAnySize}));
  const int64_t rows = args.q.dims[0], heads = args.q.dims[1];
  const int64_t head_dim = args.q.dims[2];
  RETURN_IF_ERROR(CheckTensor(kOp, "key_cache", args.key_cache, DType::kF32,
                              {kAnySize, kAnySize, head_dim, kAnySize}));
  const int64_t blocks = args.key_cache.dims[0];
  const int64_t kv_heads = args.key_cache.dims[1];
  const int64_t block_size = args.key_cache.dims[3];
  RETURN_IF_ERROR(CheckTensor(kOp, "value_cache", args.value_cache, DType::kF32,
                              {blocks, kv_heads, block_size, head_dim}));
  RETURN_IF_ERROR(
      CheckTensor(kOp, "out", args.out, DType::kF32, {rows, heads, head_dim}));
  if (kv_heads < 1 || heads % kv_heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        kOp, ": ", heads, " heads do not divide into ", kv_heads, " kv heads"));
  }
  if (block_size < 4 || (block_size & (block_size - 1)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": block size is ", block_size,
                     ", must be a power of two of at least 4"));
  }
  for (size_t i = 0; i < args.sequences.size(); ++i) {
    RETURN_IF_ERROR(
        CheckSequence(args.sequences[i], i, rows, blocks, block_size));
  }
  return MOE_DISPATCH(PagedAttention, stream, args);
}

}  // namespace moe
