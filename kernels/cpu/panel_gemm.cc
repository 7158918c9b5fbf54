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

// Turns the finished sums [panels][rows][2L] of neighbouring panels into y, row
// by row, so that y is written in long runs.
template <GemmEpilogue kEpilogue>
void FinishPanelsAs(const PanelGemm& gemm, const GemmPiece& piece,
                    size_t first_panel, size_t num_panels, const float* sums) {
  const DF d;
  const size_t lanes = hn::Lanes(d);
  const size_t panel_sums = (piece.row_end - piece.row_begin) * 2 * lanes;
  const size_t begin = first_panel * 2 * lanes;
  const size_t end = std::min(begin + num_panels * 2 * lanes,
                              static_cast<size_t>(gemm.out_features));
  // The last panel may be narrower than its vectors: it goes through copies.
  const size_t narrow = (end - begin) % (2 * lanes);
  HWY_ALIGN float edge_bias[2 * hn::MaxLanes(d)] = {};
  HWY_ALIGN float edge_y[2 * hn::MaxLanes(d)] = {};
  if (gemm.bias != nullptr && narrow > 0) {
    std::memcpy(edge_bias, gemm.bias + end - narrow, narrow * sizeof(float));
  }
  const auto finish = [&](const float* from, const float* bias,
                          const float* residual, float* y) HWY_ATTR {
    for (size_t i = 0; i < 2 * lanes; i += lanes) {
      VF v = hn::LoadU(d, from + i);
      if (bias != nullptr) v = hn::Add(v, hn::LoadU(d, bias + i));
      v = Activate<kEpilogue>(v);
      if (residual != nullptr) v = hn::Add(v, hn::LoadU(d, residual + i));
      hn::StoreU(v, d, y + i);
    }
  };
  for (int64_t r = piece.row_begin; r < piece.row_end; ++r) {
    float* y = gemm.y + r * gemm.y_stride;
    const float* residual = gemm.residual == nullptr
                                ? nullptr
                                : gemm.residual + r * gemm.residual_stride;
    const float* from = sums;
    size_t c = begin;
    for (; c + 2 * lanes <= end; c += 2 * lanes) {
      finish(from, gemm.bias == nullptr ? nullptr : gemm.bias + c,
             residual == nullptr ? nullptr : residual + c, y + c);
      from += panel_sums;
    }
    if (narrow > 0) {
      if (residual != nullptr) {
        std::memcpy(edge_y, residual + c, narrow * sizeof(float));
      }
      finish(from, gemm.bias == nullptr ? nullptr : edge_bias,
             residual == nullptr ? nullptr : edge_y, edge_y);
      std::memcpy(y + c, edge_y, narrow * sizeof(float));
    }
    sums += 2 * lanes;
  }
}

void FinishPanels(const PanelGemm& gemm, const GemmPiece& piece,
                  size_t first_panel, size_t num_panels, const float* sums) {
  switch (gemm.epilogue) {
    case GemmEpilogue::kNone:
      return FinishPanelsAs<GemmEpilogue::kNone>(gemm, piece, first_panel,
                                                 num_panels, sums);
    case GemmEpilogue::kGeluTanh:
      return FinishPanelsAs<GemmEpilogue::kGeluTanh>(gemm, piece, first_panel,
                                                     num_panels, sums);
    case GemmEpilogue::kGeluErf:
      return FinishPanelsAs<GemmEpilogue::kGeluErf>(gemm, piece, first_panel,
                                                    num_panels, sums);
    case GemmEpilogue::kSquaredRelu:
      return FinishPanelsAs<GemmEpilogue::kSquaredRelu>(
          gemm, piece, first_panel, num_panels, sums);
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
TilePrefetch StreamPrefetch() {
#if HWY_ARCH_X86
  if (__builtin_cpu_is("amd")) return {};
#endif
  return {.near = 2048, .far = 16384};
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
    static const TilePrefetch ahead = StreamPrefetch();
    const size_t row_sums = 2 * hn::Lanes(DF());
    if (num_tiles_ == 1) {
      const TileFunction tile = num_panels == 1 ? table_.one_panel[rows_ - 1]
                                                : table_.many_panels[rows_ - 1];
      tile(w, panel_bytes_, ahead, num_k, x, sums, rows_ * row_sums, first);
      return;
    }
    // The first tile brings what all read.
    ForEachTile([&](size_t tile, size_t row, size_t tile_rows) {
      table_.one_panel[tile_rows - 1](w, 0, tile == 0 ? ahead : TilePrefetch(),
                                      num_k, x + row * kRowStride,
                                      sums + row * row_sums, 0, first);
    });
  }

  // One panel, of which a block is used by many tiles. While tile t computes,
  // its share of `next_w`, the next weights, and `row_bytes` from next_row(t)
  // on are brought nearer.
  template <typename NextRow>
  void Block(const uint8_t* w, size_t num_k, const float* x, float* sums,
             bool first, const uint8_t* next_w, const NextRow& next_row,
             size_t row_bytes) const {
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
    prefetch.row_step = (row_bytes + num_k - 1) / num_k;
    ForEachTile([&](size_t tile, size_t row, size_t tile_rows) {
      prefetch.weights = next_w + tile * num_k * prefetch.weights_step;
      prefetch.row = reinterpret_cast<const uint8_t*>(next_row(tile));
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
    FinishPanels(gemm, piece, panel, num_panels, sums);
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
  const float* y = gemm.y + piece.panel_begin * columns;
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
      // During each tile, a row of what comes next: the next block of
      // activations, or after the last one the sums' way to y. (With few
      // panels there are more rows than tiles: the rest is not foreseen.)
      const auto next_row = [&](size_t tile) -> const float* {
        const size_t row = p * multiplier.num_tiles() + tile;
        if (row >= rows) return x;
        const int64_t r = piece.row_begin + row;
        return last_k ? y + r * gemm.y_stride : RowOfX(gemm, r) + k + num_k;
      };
      const size_t row_floats = last_k ? num_panels * columns : kBlockK;
      multiplier.Block(w, num_k, x, sums + p * rows * columns, k == 0, next,
                       next_row, row_floats * sizeof(float));
    }
  }
  FinishPanels(gemm, piece, piece.panel_begin, num_panels, sums);
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
