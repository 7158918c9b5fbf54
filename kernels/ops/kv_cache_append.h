#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Writes each row's key and value to its slot, slot = block_id * block_size +
// offset in the block. kInvalidArgument naming a slot out of range.
struct KvCacheAppendArgs {
  TensorView k;                     // [rows, kv_heads, head_dim] f32
  TensorView v;                     // [rows, kv_heads, head_dim] f32
  absl::Span<const int64_t> slots;  // [rows]
  TensorView key_cache;    // [blocks, kv_heads, head_dim, block_size] f32
  TensorView value_cache;  // [blocks, kv_heads, block_size, head_dim] f32
};
absl::Status KvCacheAppend(const KvCacheAppendArgs& args, Stream& stream);

namespace cpu {
absl::Status KvCacheAppend(const KvCacheAppendArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
