#pragma once

#include <cstddef>
#include <cstdint>

namespace moe::cpu {

// The context is cut at multiples of this many tokens, counted from position
// 0. A piece's scores, its keys and its values stay in the first-level cache.
inline constexpr int kPieceTokens = 64;
// Query rows of one task: they share the pieces while these are in the cache.
inline constexpr int kTileRows = 48;

// Query rows of one sequence that read the same kv head, by ascending
// position.
struct AttentionTile {
  int num_rows = 0;
  const float* q[kTileRows];    // [head_dim]
  float* out[kTileRows];        // [head_dim]
  int32_t context[kTileRows];   // positions that the row sees: 0 .. context-1
  const float* keys = nullptr;  // of the kv head in block 0
  const float* values = nullptr;
  int64_t block_stride = 0;  // of both, in elements
  const int32_t* block_ids = nullptr;
  int64_t block_size = 0;
  size_t head_dim = 0;
  float scale = 1.0f;
};

// out[r] = softmax(scale q[r] K^T) V over the positions that row r sees.
void AttendTile(const AttentionTile& tile);

}  // namespace moe::cpu
