// The inner loop of all matrix products, compiled once per instruction set
// (Google Highway's include guard): R rows of activations times P panels of a
// packed weight (packed_matrix.h). Each output element is one chain of fused
// multiply-adds over k ascending; R, P and the splitting of k into several
// calls decide only which chains run side by side, never their order.
#if defined(MOE_KERNELS_CPU_PANEL_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOE_KERNELS_CPU_PANEL_TILE_INL_H_
#undef MOE_KERNELS_CPU_PANEL_TILE_INL_H_
#else
#define MOE_KERNELS_CPU_PANEL_TILE_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/core/dtype.h"

// Keeps the accumulators in registers: every loop over them is unrolled.
#undef MOE_UNROLL
#if defined(__clang__)
#define MOE_UNROLL _Pragma("clang loop unroll(full)")
#else
#define MOE_UNROLL _Pragma("GCC unroll 32")
#endif

HWY_BEFORE_NAMESPACE();
namespace moe::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;

// Steps of k between two writes of the sums to memory. A panel's block of them,
// as float32, and the rows of one tile fit the first-level cache together.
inline constexpr size_t kBlockK = 256;

// Row r of a tile's activations starts at x + r * kRowStride: a constant, so
// that one address register serves all rows.
inline constexpr size_t kRowStride = kBlockK;

// How the two vectors of weights of one step of k are read from a panel.
struct Bf16Panel {
  static constexpr size_t kElementBytes = 2;
  static HWY_INLINE void Load(const uint8_t* w, VF& low, VF& high) {
    const DF d;
    const hn::RebindToUnsigned<DF> du;
    const auto pairs = hn::LoadU(du, reinterpret_cast<const uint32_t*>(w));
    low = hn::BitCast(d, hn::ShiftLeft<16>(pairs));
    high = hn::BitCast(d, hn::And(pairs, hn::Set(du, 0xffff0000u)));
  }
};

struct F16Panel {
  static constexpr size_t kElementBytes = 2;
  static HWY_INLINE void Load(const uint8_t* w, VF& low, VF& high) {
    const DF d;
    const hn::Rebind<hwy::float16_t, DF> dh;
    const auto* halves = reinterpret_cast<const hwy::float16_t*>(w);
    low = hn::PromoteTo(d, hn::LoadU(dh, halves));
    high = hn::PromoteTo(d, hn::LoadU(dh, halves + hn::Lanes(d)));
  }
};

struct F32Panel {
  static constexpr size_t kElementBytes = 4;
  static HWY_INLINE void Load(const uint8_t* w, VF& low, VF& high) {
    const DF d;
    const auto* floats = reinterpret_cast<const float*>(w);
    low = hn::LoadU(d, floats);
    high = hn::LoadU(d, floats + hn::Lanes(d));
  }
};

// Most rows of one tile: 2 R sums, 2 weights and 1 activation fill the vector
// registers (32 with AVX-512 and on 64-bit ARM, else 16).
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
inline constexpr int kMaxTileRows = 14;
#else
inline constexpr int kMaxTileRows = 6;
#endif

// Panels side by side with R rows: enough sums to hide the latency of an FMA.
template <int R>
constexpr int PanelsPerTile() {
  if (R == 1) return 4;
  if (R <= kMaxTileRows / 2) return 2;
  return 1;
}

// What a tile asks to be brought nearer while it computes: a little in each
// step, as a CPU can wait for a dozen lines at a time and a burst of more would
// hold up the arithmetic. Addresses need not be valid.
struct TilePrefetch {
  // Streamed panels: so many bytes ahead of each use, into the first-level
  // cache, and, of a tile of one panel, into the second-level cache: while it
  // computes longer than it reads, one stream alone asks for too little.
  size_t near = 0;
  size_t far = 0;
  // Blocked panels: these two move on by so many bytes with each step; into the
  // second-level cache.
  const uint8_t* weights = nullptr;
  size_t weights_step = 0;
  const uint8_t* row = nullptr;
  size_t row_step = 0;
};

// sums[p][r][0, 2L) (+)= x[r][0, num_k) W_p[0, num_k)[0, 2L), starting from
// zero if `first`. Panel p's weights start at w + p * panel_bytes, its sums at
// sums + p * panel_sums.
template <class W, int R, int P, bool kBlocked>
HWY_NOINLINE void Tile(const uint8_t* HWY_RESTRICT w, size_t panel_bytes,
                       const TilePrefetch& prefetch, size_t num_k,
                       const float* HWY_RESTRICT x, float* HWY_RESTRICT sums,
                       size_t panel_sums, bool first) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  constexpr size_t kLine = 64;
  const size_t k_bytes = 2 * lanes * W::kElementBytes;
  VF acc[R][P][2];
  if (first) {
    MOE_UNROLL for (int r = 0; r < R; ++r) {
      MOE_UNROLL for (int p = 0; p < P; ++p) {
        acc[r][p][0] = acc[r][p][1] = hn::Zero(d);
      }
    }
  } else {
    MOE_UNROLL for (int r = 0; r < R; ++r) {
      MOE_UNROLL for (int p = 0; p < P; ++p) {
        const float* from = sums + p * panel_sums + r * 2 * lanes;
        acc[r][p][0] = hn::LoadU(d, from);
        acc[r][p][1] = hn::LoadU(d, from + lanes);
      }
    }
  }
  const size_t near = prefetch.near;
  const size_t far = prefetch.far;
  const size_t w_step = prefetch.weights_step;
  const size_t row_step = prefetch.row_step;
  const uint8_t* next_w = prefetch.weights;
  const uint8_t* next_row = prefetch.row;
  for (size_t k = 0; k < num_k; ++k) {
    if constexpr (kBlocked) {
      __builtin_prefetch(next_w, /*rw=*/0, /*locality=*/2);
      __builtin_prefetch(next_row, /*rw=*/0, /*locality=*/2);
      next_w += w_step;
      next_row += row_step;
    }
    MOE_UNROLL for (int p = 0; p < P; ++p) {
      VF low, high;
      W::Load(w + p * panel_bytes, low, high);
      if constexpr (!kBlocked) {
        for (size_t line = 0; line < k_bytes; line += kLine) {
          __builtin_prefetch(w + p * panel_bytes + near + line);
          if constexpr (P == 1) {
            __builtin_prefetch(w + far + line, /*rw=*/0, /*locality=*/2);
          }
        }
      }
      MOE_UNROLL for (int r = 0; r < R; ++r) {
        const VF xv = hn::Set(d, x[r * kRowStride]);
        acc[r][p][0] = hn::MulAdd(xv, low, acc[r][p][0]);
        acc[r][p][1] = hn::MulAdd(xv, high, acc[r][p][1]);
      }
    }
    w += k_bytes;
    ++x;
  }
  MOE_UNROLL for (int r = 0; r < R; ++r) {
    MOE_UNROLL for (int p = 0; p < P; ++p) {
      float* to = sums + p * panel_sums + r * 2 * lanes;
      hn::StoreU(acc[r][p][0], d, to);
      hn::StoreU(acc[r][p][1], d, to + lanes);
    }
  }
}

using TileFunction = void (*)(const uint8_t*, size_t, const TilePrefetch&,
                              size_t, const float*, float*, size_t, bool);

// The tiles of one kind of panel by number of rows, [0] being one row: of one
// panel, streamed or blocked, and of as many, streamed, as PanelsPerTile gives.
struct TileTable {
  TileFunction one_panel[kMaxTileRows];
  TileFunction blocked[kMaxTileRows];
  TileFunction many_panels[kMaxTileRows];
  int num_panels[kMaxTileRows];
  size_t element_bytes;
};

template <class W, int R>
constexpr void FillTileTable(TileTable& table) {
  if constexpr (R > 0) {
    table.one_panel[R - 1] = &Tile<W, R, 1, false>;
    table.blocked[R - 1] = &Tile<W, R, 1, true>;
    table.many_panels[R - 1] = &Tile<W, R, PanelsPerTile<R>(), false>;
    table.num_panels[R - 1] = PanelsPerTile<R>();
    FillTileTable<W, R - 1>(table);
  }
}

template <class W>
constexpr TileTable MakeTileTable() {
  TileTable table = {};
  FillTileTable<W, kMaxTileRows>(table);
  table.element_bytes = W::kElementBytes;
  return table;
}

// `dtype`: kBf16, kF16 or kF32.
HWY_INLINE const TileTable& TilesFor(DType dtype) {
  static constexpr TileTable kBf16 = MakeTileTable<Bf16Panel>();
  static constexpr TileTable kF16 = MakeTileTable<F16Panel>();
  static constexpr TileTable kF32 = MakeTileTable<F32Panel>();
  if (dtype == DType::kBf16) return kBf16;
  return dtype == DType::kF16 ? kF16 : kF32;
}

// out[0, num_k)[0, 2L) = the weights as float32, exactly.
template <class W>
HWY_INLINE void ExpandPanel(const uint8_t* HWY_RESTRICT w, size_t num_k,
                            float* HWY_RESTRICT out) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  for (size_t k = 0; k < num_k; ++k) {
    VF low, high;
    W::Load(w, low, high);
    hn::StoreU(low, d, out);
    hn::StoreU(high, d, out + lanes);
    w += 2 * lanes * W::kElementBytes;
    out += 2 * lanes;
  }
}

}  // namespace moe::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
