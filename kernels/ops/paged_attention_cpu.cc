#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/core/status_macros.h"
#include "kernels/ops/attention_sequence_cpu.h"
#include "kernels/ops/op_checks.h"
#include "kernels/ops/paged_attention.h"

// Compiled once; what follows it, once per instruction set.
#ifndef MOE_KERNELS_OPS_PAGED_ATTENTION_CPU_ONCE_
#define MOE_KERNELS_OPS_PAGED_ATTENTION_CPU_ONCE_
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

}  // namespace moe::cpu
#endif  // MOE_KERNELS_OPS_PAGED_ATTENTION_CPU_ONCE_

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/paged_attention_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace moe::cpu::HWY_NAMESPACE {

// Register tile: kRows x kVectors accumulators, and room for kVectors loads.
// Old instruction sets get a small one, as every size is compiled for each.
#if HWY_TARGET <= HWY_AVX3
constexpr int kRows = 6, kVectors = 4;  // 32 registers
#elif HWY_TARGET == HWY_AVX2 || HWY_ARCH_ARM
constexpr int kRows = 6, kVectors = 2;  // 16 registers, or 32
#else
constexpr int kRows = 2, kVectors = 2;
#endif

// A piece is made of runs of tokens that lie together in one block.
struct Piece {
  int run_tokens;           // min(block_size, kPieceTokens)
  size_t key_stride;        // between channels of a key: block_size
  const float* keys[16];    // per run, [head_dim][key_stride]
  const float* values[16];  // per run, [run_tokens][head_dim]
};

using Scores = float[kRows][kPieceTokens];

// scores[r][first + v * lanes ..] = q[r] . k: one chain of multiply-adds over
// the channels for each token, in a lane of its own.
template <int R, int V, class D>
HWY_INLINE void ScoreVectors(D d, const Piece& piece, const float* const* q,
                             size_t head_dim, size_t first, float scale,
                             Scores& scores) {
  const size_t lanes = hn::Lanes(d);
  hn::Vec<D> acc[R][V];
  const float* keys[V];
#pragma GCC unroll 8
  for (int v = 0; v < V; ++v) {
    const size_t token = first + v * lanes;
    keys[v] = piece.keys[token / piece.run_tokens] + token % piece.run_tokens;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc[r][v] = hn::Zero(d);
  }
  for (size_t c = 0; c < head_dim; ++c) {
    hn::Vec<D> k[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      k[v] = hn::LoadU(d, keys[v] + c * piece.key_stride);
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const auto x = hn::Set(d, q[r][c]);
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) acc[r][v] = hn::MulAdd(x, k[v], acc[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      hn::StoreU(hn::Mul(acc[r][v], hn::Set(d, scale)), d,
                 scores[r] + first + v * lanes);
    }
  }
}

// The scores of the piece's first `tokens` tokens, and garbage up to the next
// whole vector.
template <int R, class D>
HWY_INLINE void ScorePiece(D d, const Piece& piece, const float* const* q,
                           size_t head_dim, size_t tokens, float scale,
                           Scores& scores) {
  const size_t lanes = hn::Lanes(d);
  size_t first = 0;
  for (; first + (kVectors - 1) * lanes < tokens; first += kVectors * lanes) {
    ScoreVectors<R, kVectors>(d, piece, q, head_dim, first, scale, scores);
  }
  for (; first < tokens; first += lanes) {
    ScoreVectors<R, 1>(d, piece, q, head_dim, first, scale, scores);
  }
}

// Turns scores into exp(score - new maximum), exactly 0 from `tokens` on;
// returns what the sums so far are to be multiplied with.
HWY_INLINE float ExpPiece(float* scores, int tokens, float& max, float& sum) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();
  for (int t = tokens; t < kPieceTokens; ++t) scores[t] = kMinusInfinity;
  auto maxima = hn::Set(d, max);
  for (size_t t = 0; t < kPieceTokens; t += lanes) {
    maxima = hn::Max(maxima, hn::LoadU(d, scores + t));
  }
  const float new_max = hn::GetLane(hn::MaxOfLanes(d, maxima));
  auto sums = hn::Zero(d);
  for (size_t t = 0; t < kPieceTokens; t += lanes) {
    const auto p =
        Exp(d, hn::Sub(hn::LoadU(d, scores + t), hn::Set(d, new_max)));
    hn::StoreU(p, d, scores + t);
    sums = hn::Add(sums, p);
  }
  const hn::CappedTag<float, 1> one;
  const float rescale = hn::GetLane(Exp(one, hn::Set(one, max - new_max)));
  max = new_max;
  sum = sum * rescale + hn::GetLane(hn::SumOfLanes(d, sums));
  return rescale;
}

// out[r][c ..] = rescale[r] * out[r][c ..] + sum of p[r][t] v[t][c ..] over t
// in [begin, end), ascending: one chain for each channel.
template <int R, int V, class D>
HWY_INLINE void ValueVectors(D d, const Piece& piece, size_t head_dim, size_t c,
                             int begin, int end, const float* const* p,
                             const float* rescale, float* const* out) {
  const size_t lanes = hn::Lanes(d);
  hn::Vec<D> acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      acc[r][v] =
          hn::Mul(hn::Set(d, rescale[r]), hn::LoadU(d, out[r] + c + v * lanes));
    }
  }
  for (int t = begin; t < end;) {
    const int run = t / piece.run_tokens;
    const int run_end = std::min(end, (run + 1) * piece.run_tokens);
    const float* value =
        piece.values[run] + (t - run * piece.run_tokens) * head_dim + c;
    for (; t < run_end; ++t, value += head_dim) {
      hn::Vec<D> x[V];
#pragma GCC unroll 8
      for (int v = 0; v < V; ++v) x[v] = hn::LoadU(d, value + v * lanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const auto weight = hn::Set(d, p[r][t]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
          acc[r][v] = hn::MulAdd(weight, x[v], acc[r][v]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
      hn::StoreU(acc[r][v], d, out[r] + c + v * lanes);
    }
  }
}

template <int R>
HWY_INLINE void ValuePiece(const Piece& piece, size_t head_dim, int begin,
                           int end, const float* const* p, const float* rescale,
                           float* const* out) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> one;
  const size_t lanes = hn::Lanes(d);
  size_t c = 0;
  for (; c + kVectors * lanes <= head_dim; c += kVectors * lanes) {
    ValueVectors<R, kVectors>(d, piece, head_dim, c, begin, end, p, rescale,
                              out);
  }
  for (; c + lanes <= head_dim; c += lanes) {
    ValueVectors<R, 1>(d, piece, head_dim, c, begin, end, p, rescale, out);
  }
  for (; c < head_dim; ++c) {
    ValueVectors<R, 1>(one, piece, head_dim, c, begin, end, p, rescale, out);
  }
}

// One piece for rows [first, first + R) of the tile. tokens[r] >= 1 of its
// tokens are visible to row r, ascending in r.
template <int R>
HWY_NOINLINE void AttendPiece(const AttentionTile& tile, const Piece& piece,
                              int first, const int* tokens, float* max,
                              float* sum) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 4> four;
  HWY_ALIGN Scores scores;
  if (piece.run_tokens % hn::Lanes(d) == 0) {
    ScorePiece<R>(d, piece, tile.q + first, tile.head_dim, tokens[R - 1],
                  tile.scale, scores);
  } else {
    ScorePiece<R>(four, piece, tile.q + first, tile.head_dim, tokens[R - 1],
                  tile.scale, scores);
  }
  float rescale[R];
  const float* p[R];
  for (int r = 0; r < R; ++r) {
    rescale[r] = ExpPiece(scores[r], tokens[r], max[first + r], sum[first + r]);
    p[r] = scores[r];
  }
  ValuePiece<R>(piece, tile.head_dim, 0, tokens[0], p, rescale,
                tile.out + first);
  // The tokens that only the later rows see, row by row: what a row does not
  // see is never multiplied, not even by 0 (it might be infinite).
  const float unscaled = 1.0f;
  for (int r = 1; r < R; ++r) {
    if (tokens[r] > tokens[0]) {
      ValuePiece<1>(piece, tile.head_dim, tokens[0], tokens[r], p + r,
                    &unscaled, tile.out + first + r);
    }
  }
}

// AttendPiece<rows>, 1 <= rows <= R.
template <int R>
HWY_INLINE void AttendRows(int rows, const AttentionTile& tile,
                           const Piece& piece, int first, const int* tokens,
                           float* max, float* sum) {
  if constexpr (R > 1) {
    if (rows < R) {
      return AttendRows<R - 1>(rows, tile, piece, first, tokens, max, sum);
    }
  }
  AttendPiece<R>(tile, piece, first, tokens, max, sum);
}

void AttendTile(const AttentionTile& tile) {
  float max[kTileRows], sum[kTileRows];
  for (int r = 0; r < tile.num_rows; ++r) {
    max[r] = -std::numeric_limits<float>::infinity();
    sum[r] = 0.0f;
    std::fill(tile.out[r], tile.out[r] + tile.head_dim, 0.0f);
  }
  Piece piece;
  piece.run_tokens =
      static_cast<int>(std::min<int64_t>(tile.block_size, kPieceTokens));
  piece.key_stride = tile.block_size;
  const int32_t context = tile.context[tile.num_rows - 1];
  for (int32_t begin = 0; begin < context; begin += kPieceTokens) {
    const int32_t end = std::min(context, begin + kPieceTokens);
    for (int32_t t = begin, run = 0; t < end; t += piece.run_tokens, ++run) {
      const int64_t block =
          tile.block_ids[t / tile.block_size] * tile.block_stride;
      const int64_t offset = t % tile.block_size;
      piece.keys[run] = tile.keys + block + offset;
      piece.values[run] = tile.values + block + offset * tile.head_dim;
    }
    int first = 0;
    while (tile.context[first] <= begin) ++first;
    while (first < tile.num_rows) {
      const int rows = std::min(kRows, tile.num_rows - first);
      int tokens[kRows];
      for (int r = 0; r < rows; ++r) {
        tokens[r] = std::min(tile.context[first + r] - begin, kPieceTokens);
      }
      AttendRows<kRows>(rows, tile, piece, first, tokens, max, sum);
      first += rows;
    }
  }
  for (int r = 0; r < tile.num_rows; ++r) {
    float* out = tile.out[r];
    ForEachVector(tile.head_dim, [&](auto d, size_t i) HWY_ATTR {
      hn::StoreU(hn::Div(hn::LoadU(d, out + i), hn::Set(d, sum[r])), d,
                 out + i);
    });
  }
}

}  // namespace moe::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace moe::cpu {
namespace {

HWY_EXPORT(AttendTile);

// Below this many multiply-adds the pool's wake-up costs more than it saves.
constexpr int64_t kInlineCost = 128 * 1024;

struct Task {
  AttentionSequence sequence;
  int64_t kv_head;
  int64_t first;  // of the sequence's (token, head of the group) pairs
};

void RunTask(const PagedAttentionArgs& args, const Task& task) {
  const int64_t head_dim = args.q.dims[2];
  const int64_t kv_heads = args.key_cache.dims[1];
  const int64_t group = args.q.dims[1] / kv_heads;
  const AttentionSequence& sequence = task.sequence;
  const int64_t pairs = sequence.num_tokens * group;

  AttentionTile tile;
  tile.num_rows =
      static_cast<int>(std::min<int64_t>(kTileRows, pairs - task.first));
  for (int i = 0; i < tile.num_rows; ++i) {
    const int64_t token = (task.first + i) / group;
    const int64_t head = task.kv_head * group + (task.first + i) % group;
    const int64_t row = sequence.first_row + token;
    tile.q[i] = args.q.ptr<float>() + row * RowStride(args.q) + head * head_dim;
    tile.out[i] =
        args.out.ptr<float>() + row * RowStride(args.out) + head * head_dim;
    tile.context[i] = static_cast<int32_t>(sequence.start_position + token + 1);
  }
  tile.block_size = args.key_cache.dims[3];
  tile.block_stride = kv_heads * head_dim * tile.block_size;
  tile.keys =
      args.key_cache.ptr<float>() + task.kv_head * head_dim * tile.block_size;
  tile.values =
      args.value_cache.ptr<float>() + task.kv_head * head_dim * tile.block_size;
  tile.block_ids = sequence.block_ids;
  tile.head_dim = head_dim;
  tile.scale = args.scale;
  HWY_DYNAMIC_DISPATCH(AttendTile)(tile);
}

}  // namespace

absl::Status PagedAttention(const PagedAttentionArgs& args, CpuStream& stream) {
  const int64_t kv_heads = args.key_cache.dims[1];
  const int64_t group = args.q.dims[1] / kv_heads;
  const AttentionTables tables = {.sequence_offsets = args.sequence_offsets,
                                  .context_lengths = args.context_lengths,
                                  .block_table = args.block_table,
                                  .rows = args.q.dims[0],
                                  .blocks = args.key_cache.dims[0],
                                  .block_size = args.key_cache.dims[3]};
  std::vector<Task> tasks;
  int64_t cost = 0;
  for (int64_t s = 0; s < args.context_lengths.dims[0]; ++s) {
    ASSIGN_OR_RETURN(const AttentionSequence sequence, ReadSequence(tables, s));
    const int64_t pairs = sequence.num_tokens * group;
    cost += pairs * (sequence.start_position + sequence.num_tokens);
    // The longest contexts first, so that the threads end together.
    const int64_t last = (pairs - 1) / kTileRows * kTileRows;
    for (int64_t first = last; pairs > 0 && first >= 0; first -= kTileRows) {
      for (int64_t h = 0; h < kv_heads; ++h) {
        tasks.push_back({sequence, h, first});
      }
    }
  }
  cost *= 2 * kv_heads * args.q.dims[2];
  if (cost < kInlineCost) {
    for (const Task& task : tasks) RunTask(args, task);
  } else {
    stream.threads().ParallelFor(
        static_cast<int64_t>(tasks.size()),
        [&](int64_t task, int) { RunTask(args, tasks[task]); });
  }
  return absl::OkStatus();
}

}  // namespace moe::cpu
#endif  // HWY_ONCE
