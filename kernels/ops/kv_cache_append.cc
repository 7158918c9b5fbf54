#include "kernels/ops/kv_cache_append.h"

#include "absl/strings/str_cat.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {

absl::Status KvCacheAppend(const KvCacheAppendArgs& args, Stream& stream) {
  constexpr char kOp[] = "KvCacheAppend";
  RETURN_IF_ERROR(CheckTensor(kOp, "k", args.k, DType::kF32,
                              {kAnySize, kAnySize, kAnySize}));
  const int64_t rows = args.k.dims[0], kv_heads = args.k.dims[1];
  const int64_t head_dim = args.k.dims[2];
  RETURN_IF_ERROR(
      CheckTensor(kOp, "v", args.v, DType::kF32, {rows, kv_heads, head_dim}));
  RETURN_IF_ERROR(CheckTensor(kOp, "key_cache", args.key_cache, DType::kF32,
                              {kAnySize, kv_heads, head_dim, kAnySize}));
  const int64_t blocks = args.key_cache.dims[0];
  const int64_t block_size = args.key_cache.dims[3];
  RETURN_IF_ERROR(CheckTensor(kOp, "value_cache", args.value_cache, DType::kF32,
                              {blocks, kv_heads, block_size, head_dim}));
  if (static_cast<int64_t>(args.slots.size()) != rows) {
    return absl::InvalidArgumentError(absl::StrCat(
        kOp, ": ", args.slots.size(), " slots for ", rows, " rows"));
  }
  for (size_t r = 0; r < args.slots.size(); ++r) {
    if (args.slots[r] < 0 || args.slots[r] >= blocks * block_size) {
      return absl::InvalidArgumentError(
          absl::StrCat(kOp, ": slot ", args.slots[r], " of row ", r,
                       " is outside [0, ", blocks * block_size, ")"));
    }
  }
  return MOE_DISPATCH(KvCacheAppend, stream, args);
}

}  // namespace moe
