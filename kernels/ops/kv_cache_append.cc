#include "kernels/ops/kv_cache_append.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {

absl::Status KvCacheAppend(const KvCacheAppendArgs& args, Stream& stream) {
  constexpr char kOp[] = "KvCacheAppend";
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "k", args.k, DType::kF32,
                              {kAnySize, kAnySize, kAnySize}));
  const int64_t rows = args.k.dims[0], kv_heads = args.k.dims[1];
  const int64_t head_dim = args.k.dims[2];
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "v", args.v, DType::kF32,
                              {rows, kv_heads, head_dim}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "key_cache", args.key_cache,
                              DType::kF32,
                              {kAnySize, kv_heads, head_dim, kAnySize}));
  const int64_t blocks = args.key_cache.dims[0];
  const int64_t block_size = args.key_cache.dims[3];
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "value_cache", args.value_cache,
                              DType::kF32,
                              {blocks, kv_heads, block_size, head_dim}));
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "kv_slots", args.kv_slots, DType::kI64, {rows}));
  return MOE_DISPATCH(KvCacheAppend, stream, args);
}

}  // namespace moe
