#include "kernels/cpu/panel_gemm.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "kernels/cpu/gemm_scratch.h"
#include "kernels/cpu/packed_matrix.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/panel_gemm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/gelu-inl.h"
#include "kernels/cpu/panel_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace moe::cpu::HWY_NAMESPACE {
namespace {

// From this many tiles of rows on, widening a block of a panel to float32 once
// costs less than widening it in each of them. (Exact either way.)
constexpr size_t kMinTilesToExpand = 6;

template <GemmEpilogue kEpilogue>
HWY_INLINE VF Activate(VF v) {
  const DF d;
  if constexpr (kEpilogue == GemmEpilogue::kGeluTanh) return GeluTanh(d, v);
  if constexpr (kEpilogue == GemmEpilogue::kGeluErf) return GeluErf(d, v);
  if constexpr (kEpilogue == GemmEpilogue::kSquaredRelu) {
    return SquaredRelu(d, v);
  }
  return v;
}

// Turns the finished sums [rows][2L] of one panel into y.
template <GemmEpilogue kEpilogue>
void FinishPanelAs(const PanelGemm& gemm, const GemmPiece& piece, size_t panel,
                   const float* sums) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const size_t begin = panel * 2 * lanes;
  const size_t columns =
      std::min(2 * lanes, static_cast<size_t>(gemm.out_features) - begin);
  // The last panel may be narrower than its vectors: it goes through copies.
  const bool whole = columns == 2 * lanes;
  HWY_ALIGN float edge[2 * hn::MaxLanes(d)] = {};
  VF bias[2] = {hn::Zero(d), hn::Zero(d)};
  if (gemm.bias != nullptr) {
    const float* from = gemm.bias + begin;
    if (!whole) {
      std::memcpy(edge, from, columns * sizeof(float));
      from = edge;
    }
    bias[0] = hn::LoadU(d, from);
    bias[1] = hn::LoadU(d, from + lanes);
  }
  for (int64_t r = piece.row_begin; r < piece.row_end; ++r) {
    VF v[2];
    for (int half = 0; half < 2; ++half) {
      v[half] = hn::LoadU(d, sums + half * lanes);
      v[half] = Activate<kEpilogue>(hn::Add(v[half], bias[half]));
    }
    sums += 2 * lanes;
    float* y = gemm.y + r * gemm.y_stride + begin;
    if (gemm.residual != nullptr) {
      const float* from = gemm.residual + r * gemm.residual_stride + begin;
      if (!whole) {
        std::memcpy(edge, from, columns * sizeof(float));
        from = edge;
      }
      v[0] = hn::Add(v[0], hn::LoadU(d, from));
      v[1] = hn::Add(v[1], hn::LoadU(d, from + lanes));
    }
    float* to = whole ? y : edge;
    hn::StoreU(v[0], d, to);
    hn::StoreU(v[1], d, to + lanes);
    if (!whole) std::memcpy(y, edge, columns * sizeof(float));
  }
}

void FinishPanel(const PanelGemm& gemm, const GemmPiece& piece, size_t panel,
                 const float* sums) {
  switch (gemm.epilogue) {
    case GemmEpilogue::kNone:
      return FinishPanelAs<GemmEpilogue::kNone>(gemm, piece, panel, sums);
    case GemmEpilogue::kGeluTanh:
      return FinishPanelAs<GemmEpilogue::kGeluTanh>(gemm, piece, panel, sums);
    case GemmEpilogue::kGeluErf:
      return FinishPanelAs<GemmEpilogue::kGeluErf>(gemm, piece, panel, sums);
    case GemmEpilogue::kSquaredRelu:
      return FinishPanelAs<GemmEpilogue::kSquaredRelu>(gemm, piece, panel,
                                                       sums);
  }
}

const float* RowOfX(const PanelGemm& gemm, int64_t row) {
  const int64_t x_row = gemm.x_rows == nullptr ? row : gemm.x_rows[row];
  return gemm.x + x_row * gemm.x_stride;
}

// Copies steps [k, k + num_k) of the piece's rows to out[row][kRowStride]. (By
// vectors: of a memcpy, GCC makes `rep movsq`, which is slow to start.)
void CopyBlockOfX(const PanelGemm& gemm, const GemmPiece& piece, size_t k,
                  size_t num_k, float* out) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const size_t whole = num_k / lanes * lanes;
  for (int64_t r = piece.row_begin; r < piece.row_end; ++r) {
    const float* from = RowOfX(gemm, r) + k;
    for (size_t i = 0; i < whole; i += lanes) {
      hn::StoreU(hn::LoadU(d, from + i), d, out + i);
    }
    for (size_t i = whole; i < num_k; ++i) out[i] = from[i];
    out += kRowStride;
  }
}

// How far ahead of its use a panel that is read straight through is prefetched.
// Intel's own prefetchers leave the first-level cache waiting: with this, a
// Sapphire Rapids core reads 98 % instead of 85 % of what it can at one row,
// and computes 1.6 times as fast at 14. AMD's reach 98 % unaided.
size_t StreamAheadBytes() {
#if HWY_ARCH_X86
  if (__builtin_cpu_is("amd")) return 0;
#endif
  return 2048;
}

// Adds steps of k to the sums [rows][2L] of panels.
class BlockMultiplier {
 public:
  BlockMultiplier(const PanelGemm& gemm, size_t rows, float* expanded)
      : dtype_(gemm.weight_dtype),
        table_(TilesFor(gemm.weight_dtype)),
        float_table_(TilesFor(DType::kF32)),
        panel_bytes_(PanelBytes(dtype_, gemm.in_features, 2 * hn::Lanes(DF()))),
        rows_(rows),
        num_tiles_((rows + kMaxTileRows - 1) / kMaxTileRows),
        expanded_(expanded) {}

  // Panels that one call of Stream can take.
  size_t max_panels() const {
    return num_tiles_ == 1 ? table_.num_panels[rows_ - 1] : 1;
  }
  size_t num_tiles() const { return num_tiles_; }

  // `num_panels` panels, 1 or max_panels(), that are read straight through.
  void Stream(const uint8_t* w, size_t num_panels, size_t num_k, const float* x,
              float* sums, bool first) const {
    static const size_t ahead = StreamAheadBytes();
    const size_t row_sums = 2 * hn::Lanes(DF());
    if (num_tiles_ == 1) {
      const TileFunction tile = num_panels == 1 ? table_.one_panel[rows_ - 1]
                                                : table_.many_panels[rows_ - 1];
      tile(w, panel_bytes_, {.ahead = ahead}, num_k, x, sums, rows_ * row_sums,
           first);
      return;
    }
    // The first tile brings what all read.
    ForEachTile([&](size_t tile, size_t row, size_t tile_rows) {
      table_.one_panel[tile_rows - 1](w, 0, {.ahead = tile == 0 ? ahead : 0},
                                      num_k, x + row * kRowStride,
                                      sums + row * row_sums, 0, first);
    });
  }

  // One panel, of which a block is used by many tiles. While tile t computes,
  // its share of `next_w`, the next weights, and next_x(t) are brought nearer.
  template <typename NextX>
  void Block(const uint8_t* w, size_t num_k, const float* x, float* sums,
             bool first, const uint8_t* next_w, const NextX& next_x) const {
    const size_t row_sums = 2 * hn::Lanes(DF());
    const TileTable* table = &table_;
    if (num_tiles_ >= kMinTilesToExpand && dtype_ != DType::kF32) {
      if (dtype_ == DType::kBf16) {
        ExpandPanel<Bf16Panel>(w, num_k, expanded_);
      } else {
        ExpandPanel<F16Panel>(w, num_k, expanded_);
      }
      w = reinterpret_cast<const uint8_t*>(expanded_);
      table = &float_table_;
    }
    TilePrefetch prefetch;
    const size_t k_bytes = row_sums * table_.element_bytes;
    prefetch.weights_step =
        next_w == nullptr ? 0 : (k_bytes + num_tiles_ - 1) / num_tiles_;
    ForEachTile([&](size_t tile, size_t row, size_t tile_rows) {
      prefetch.weights = next_w + tile * num_k * prefetch.weights_step;
      prefetch.x = next_x(tile);
      table->blocked[tile_rows - 1](w, 0, prefetch, num_k, x + row * kRowStride,
                                    sums + row * row_sums, 0, first);
    });
  }

 private:
  // Tiles as even as can be: a tile of few rows would leave the FMA units
  // waiting for its few sums.
  template <typename Body>
  HWY_INLINE void ForEachTile(const Body& body) const {
    for (size_t tile = 0, row = 0; tile < num_tiles_; ++tile) {
      const size_t tile_rows =
          rows_ / num_tiles_ + (tile < rows_ % num_tiles_ ? 1 : 0);
      body(tile, row, tile_rows);
      row += tile_rows;
    }
  }

  const DType dtype_;
  const TileTable& table_;
  const TileTable& float_table_;
  const size_t panel_bytes_;
  const size_t rows_;
  const size_t num_tiles_;
  float* const expanded_;
};

// Few rows: each panel is read once, from its first byte to its last.
void RunStreamed(const PanelGemm& gemm, const GemmPiece& piece, uint64_t job,
                 GemmScratch& scratch) {
  const size_t columns = 2 * hn::Lanes(DF());
  const size_t rows = piece.row_end - piece.row_begin;
  const size_t in = gemm.in_features;
  const size_t num_blocks = (in + kBlockK - 1) / kBlockK;
  const size_t panel_bytes = PanelBytes(gemm.weight_dtype, in, columns);
  const size_t k_bytes = columns * SizeOf(gemm.weight_dtype);
  const BlockMultiplier multiplier(gemm, rows, nullptr);
  float* sums = scratch.sums(multiplier.max_panels() * rows * columns);
  // One row is used where it lies, in a single block; more are laid out as
  // [blocks of k][rows][kRowStride].
  const float* x = RowOfX(gemm, piece.row_begin);
  if (rows > 1) {
    bool kept = false;
    float* copy = scratch.x(num_blocks * rows * kRowStride,
                            {job, piece.gemm_idx, piece.row_begin}, &kept);
    for (size_t b = 0; b < num_blocks && !kept; ++b) {
      CopyBlockOfX(gemm, piece, b * kBlockK,
                   std::min(kBlockK, in - b * kBlockK),
                   copy + b * rows * kRowStride);
    }
    x = copy;
  }
  const size_t block_k = rows == 1 ? in : kBlockK;
  const size_t end = piece.panel_end;
  for (size_t panel = piece.panel_begin; panel < end;) {
    const size_t num_panels =
        end - panel >= multiplier.max_panels() ? multiplier.max_panels() : 1;
    const uint8_t* w = gemm.weight + panel * panel_bytes;
    for (size_t k = 0; k < in; k += block_k) {
      multiplier.Stream(w + k * k_bytes, num_panels, std::min(block_k, in - k),
                        x + k * rows, sums, k == 0);
    }
    for (size_t p = 0; p < num_panels; ++p) {
      FinishPanel(gemm, piece, panel + p, sums + p * rows * columns);
    }
    panel += num_panels;
  }
}

// Many rows: each block of k of the activations is laid out once and stays in
// the cache while all panels pass by.
void RunBlocked(const PanelGemm& gemm, const GemmPiece& piece,
                GemmScratch& scratch) {
  const size_t columns = 2 * hn::Lanes(DF());
  const size_t rows = piece.row_end - piece.row_begin;
  const size_t num_panels = piece.panel_end - piece.panel_begin;
  const size_t in = gemm.in_features;
  const size_t panel_bytes = PanelBytes(gemm.weight_dtype, in, columns);
  const size_t k_bytes = columns * SizeOf(gemm.weight_dtype);
  const BlockMultiplier multiplier(gemm, rows,
                                   scratch.expanded(kBlockK * columns));
  float* sums = scratch.sums(num_panels * rows * columns);
  float* x = scratch.x(rows * kRowStride);
  const uint8_t* weight = gemm.weight + piece.panel_begin * panel_bytes;
  for (size_t k = 0; k < in; k += kBlockK) {
    const size_t num_k = std::min(kBlockK, in - k);
    CopyBlockOfX(gemm, piece, k, num_k, x);
    const bool last_k = k + num_k == in;
    for (size_t p = 0; p < num_panels; ++p) {
      const uint8_t* w = weight + p * panel_bytes + k * k_bytes;
      const uint8_t* next = nullptr;
      if (p + 1 < num_panels) {
        next = w + panel_bytes;
      } else if (!last_k) {
        next = weight + (k + num_k) * k_bytes;
      }
      float* panel_sums = sums + p * rows * columns;
      // Of the next block of activations, a row during each tile. (With few
      // panels there are more rows than tiles: the rest is not foreseen.)
      multiplier.Block(w, num_k, x, panel_sums, k == 0, next,
                       [&](size_t tile) -> const float* {
                         const size_t row = p * multiplier.num_tiles() + tile;
                         if (last_k || row >= rows) return x;
                         return RowOfX(gemm, piece.row_begin + row) + k + num_k;
                       });
      if (last_k) FinishPanel(gemm, piece, piece.panel_begin + p, panel_sums);
    }
  }
}

void RunPiece(const PanelGemm& gemm, const GemmPiece& piece, uint64_t job,
              GemmScratch& scratch) {
  if (piece.row_end - piece.row_begin <= kMaxStreamedRows) {
    RunStreamed(gemm, piece, job, scratch);
  } else {
    RunBlocked(gemm, piece, scratch);
  }
}

}  // namespace
}  // namespace moe::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace moe::cpu {

HWY_EXPORT(RunPiece);

int64_t MaxBlockedPanels(int64_t panel_columns) {
  // Sums of kMaxPieceRows rows: 384 KiB.
  constexpr int64_t kColumns = 512;
  return std::max<int64_t>(1, kColumns / panel_columns);
}

void RunGemmPiece(const PanelGemm& gemm, const GemmPiece& piece, uint64_t job) {
  static thread_local GemmScratch scratch;
  HWY_DYNAMIC_DISPATCH(RunPiece)(gemm, piece, job, scratch);
}

}  // namespace moe::cpu
#endif  // HWY_ONCE
