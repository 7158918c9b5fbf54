#include "kernels/ops/paged_attention.h"

#include "absl/strings/str_cat.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {

absl::Status PagedAttention(const PagedAttentionArgs& args, Stream& stream) {
  constexpr char kOp[] = "PagedAttention";
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "q", args.q, DType::kF32,
                              {kAnySize, kAnySize, kAnySize}));
  const int64_t rows = args.q.dims[0], heads = args.q.dims[1];
  const int64_t head_dim = args.q.dims[2];
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "key_cache", args.key_cache,
                              DType::kF32,
                              {kAnySize, kAnySize, head_dim, kAnySize}));
  const int64_t blocks = args.key_cache.dims[0];
  const int64_t kv_heads = args.key_cache.dims[1];
  const int64_t block_size = args.key_cache.dims[3];
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "value_cache", args.value_cache,
                              DType::kF32,
                              {blocks, kv_heads, block_size, head_dim}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "out", args.out, DType::kF32,
                              {rows, heads, head_dim}));
  if (kv_heads < 1 || heads % kv_heads != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        kOp, ": ", heads, " heads do not divide into ", kv_heads, " kv heads"));
  }
  if (block_size < 4 || (block_size & (block_size - 1)) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": block size is ", block_size,
                     ", must be a power of two of at least 4"));
  }
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "context_lengths",
                              args.context_lengths, DType::kI32, {kAnySize}));
  const int64_t sequences = args.context_lengths.dims[0];
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "sequence_offsets",
                              args.sequence_offsets, DType::kI32,
                              {sequences + 1}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "block_table", args.block_table,
                              DType::kI32, {sequences, kAnySize}));
  return MOE_DISPATCH(PagedAttention, stream, args);
}

}  // namespace moe
