#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// One sequence's query rows and the blocks of its context.
struct AttentionSequence {
  int32_t first_row = 0;
  int32_t num_tokens = 0;
  int32_t start_position = 0;  // of its first query row
  absl::Span<const int32_t> block_ids;
};

// out[r, h, :] = softmax(scale q[r, h] K^T) V over positions 0 .. position of r
// (causal), whose keys and values, the row's own included, are in the cache.
// Query head h reads kv head h / (heads / kv_heads). The context is cut into
// pieces of a fixed number of tokens which are reduced in order, so a row's
// result does not depend on what else is in the batch, on the other query rows,
// on which blocks hold the context, or on the number of threads.
struct PagedAttentionArgs {
  TensorView q;            // [rows, heads, head_dim] f32; rows may be strided
  TensorView key_cache;    // [blocks, kv_heads, head_dim, block_size] f32
  TensorView value_cache;  // [blocks, kv_heads, block_size, head_dim] f32
  absl::Span<const AttentionSequence> sequences;
  float scale = 1.0f;
  TensorView out;  // [rows, heads, head_dim] f32
};
absl::Status PagedAttention(const PagedAttentionArgs& args, Stream& stream);

namespace cpu {
absl::Status PagedAttention(const PagedAttentionArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
