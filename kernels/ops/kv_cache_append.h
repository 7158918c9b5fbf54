#pragma once

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Writes each row's key and value to its KV slot, slot = block_id * block_size
// + offset in the block. On the CPU a slot out of range is kInvalidArgument
// naming it; elsewhere the caller has checked them.
struct KvCacheAppendArgs {
  TensorView k;            // [rows, kv_heads, head_dim] f32
  TensorView v;            // [rows, kv_heads, head_dim] f32
  TensorView kv_slots;     // [rows] i64
  TensorView key_cache;    // [blocks, kv_heads, head_dim, block_size] f32
  TensorView value_cache;  // [blocks, kv_heads, block_size, head_dim] f32
};
absl::Status KvCacheAppend(const KvCacheAppendArgs& args, Stream& stream);

namespace cpu {
absl::Status KvCacheAppend(const KvCacheAppendArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
