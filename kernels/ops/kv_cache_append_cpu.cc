#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/ops/kv_cache_append.h"
#include "kernels/ops/op_checks.h"

namespace moe::cpu {

absl::Status KvCacheAppend(const KvCacheAppendArgs& args, CpuStream& stream) {
  const int64_t kv_heads = args.k.dims[1], head_dim = args.k.dims[2];
  const int64_t block_size = args.key_cache.dims[3];
  const int64_t rows = args.k.dims[0];
  const int64_t num_slots = args.key_cache.dims[0] * block_size;
  const int64_t* const slots = args.kv_slots.ptr<int64_t>();
  for (int64_t r = 0; r < rows; ++r) {
    if (slots[r] < 0 || slots[r] >= num_slots) {
      return absl::InvalidArgumentError(
          absl::StrCat("KvCacheAppend: slot ", slots[r], " of row ", r,
                       " is outside [0, ", num_slots, ")"));
    }
  }
  // By heads, not rows: neighbouring rows write to the same cache lines of the
  // channel-major keys.
  ParallelRows(
      stream, kv_heads, 4 * head_dim * rows, [&](int64_t begin, int64_t end) {
        for (int64_t r = 0; r < rows; ++r) {
          const int64_t block = slots[r] / block_size;
          const int64_t offset = slots[r] % block_size;
          for (int64_t h = begin; h < end; ++h) {
            const float* k =
                args.k.ptr<float>() + r * RowStride(args.k) + h * head_dim;
            const float* v =
                args.v.ptr<float>() + r * RowStride(args.v) + h * head_dim;
            float* keys = args.key_cache.ptr<float>() +
                          block * RowStride(args.key_cache) +
                          h * head_dim * block_size + offset;
            float* values = args.value_cache.ptr<float>() +
                            block * RowStride(args.value_cache) +
                            (h * block_size + offset) * head_dim;
            for (int64_t c = 0; c < head_dim; ++c) keys[c * block_size] = k[c];
            std::copy(v, v + head_dim, values);
          }
        }
      });
  return absl::OkStatus();
}

}  // namespace moe::cpu
