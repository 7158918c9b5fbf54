#pragma once

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// out[r, h, :] = softmax(scale q[r, h] K^T) V over positions 0 .. position of r
// (causal), whose keys and values, the row's own included, are in the cache.
// Query head h reads kv head h / (heads / kv_heads). The context is cut into
// pieces of a fixed number of tokens which are reduced in order, so a row's
// result does not depend on what else is in the batch, on the other query rows,
// on which blocks hold the context, or on the number of threads.
//
// Sequence s has the query rows [sequence_offsets[s], sequence_offsets[s + 1]),
// which are the last of its context_lengths[s] tokens; token p of it lies in
// block block_table[s, p / block_size]. Values are checked on the CPU only
// (kInvalidArgument naming sequence and value); elsewhere the caller has
// checked them.
struct PagedAttentionArgs {
  TensorView q;            // [rows, heads, head_dim] f32; rows may be strided
  TensorView key_cache;    // [blocks, kv_heads, head_dim, block_size] f32
  TensorView value_cache;  // [blocks, kv_heads, block_size, head_dim] f32
  TensorView sequence_offsets;  // [sequences + 1] i32
  TensorView context_lengths;   // [sequences] i32
  TensorView block_table;       // [sequences, any] i32; rows may be strided
  float scale = 1.0f;
  TensorView out;  // [rows, heads, head_dim] f32
};
absl::Status PagedAttention(const PagedAttentionArgs& args, Stream& stream);

namespace cpu {
absl::Status PagedAttention(const PagedAttentionArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
