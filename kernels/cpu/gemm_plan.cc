#include "kernels/cpu/gemm_plan.h"

#include <algorithm>
#include <limits>

namespace moe::cpu {
namespace {

// From about this many rows on, arithmetic takes longer than reading the
// weight, so a piece's time grows with its rows. (Machines differ: 7 to 14.)
constexpr int64_t kRowsAtMemorySpeed = 8;
// A piece of fewer bytes (or of so much arithmetic) is not worth handing out:
// some 5 us.
constexpr int64_t kMinPieceCost = int64_t{64} << 10;
// Panels are best taken by this many (panel_tile-inl.h).
constexpr int64_t kPanelUnit = 4;

int64_t PanelCost(const GemmShape& shape, int64_t rows) {
  const int64_t steps = std::max(rows, kRowsAtMemorySpeed);
  return std::max<int64_t>(1, shape.panel_bytes * steps / kRowsAtMemorySpeed);
}

int64_t RowsPerPiece(int64_t rows) {
  if (rows <= kMaxPieceRows) return rows;
  const int64_t blocks = (rows + kMaxPieceRows - 1) / kMaxPieceRows;
  return (rows + blocks - 1) / blocks;
}

}  // namespace

std::vector<GemmPiece> PlanGemm(absl::Span<const GemmShape> shapes,
                                int num_workers, int64_t max_blocked_panels) {
  int64_t remaining_cost = 0;
  for (const GemmShape& shape : shapes) {
    if (shape.rows > 0) {
      remaining_cost += shape.num_panels * PanelCost(shape, shape.rows);
    }
  }
  std::vector<GemmPiece> pieces;
  for (size_t i = 0; i < shapes.size(); ++i) {
    const GemmShape& shape = shapes[i];
    if (shape.rows == 0) continue;
    const int64_t rows_per_piece = RowsPerPiece(shape.rows);
    const int64_t panel_cost = PanelCost(shape, rows_per_piece);
    const int64_t most_panels = rows_per_piece > kMaxStreamedRows
                                    ? max_blocked_panels
                                    : std::numeric_limits<int64_t>::max();
    for (int64_t begin = 0; begin < shape.num_panels;) {
      int64_t panels = shape.num_panels - begin;
      if (num_workers > 1) {
        const int64_t cost =
            std::max(remaining_cost / (2 * num_workers), kMinPieceCost);
        int64_t wanted = std::max<int64_t>(1, cost / panel_cost);
        if (wanted > kPanelUnit) wanted = wanted / kPanelUnit * kPanelUnit;
        panels = std::min(panels, wanted);
      }
      panels = std::min(panels, most_panels);
      for (int64_t row = 0; row < shape.rows; row += rows_per_piece) {
        pieces.push_back({static_cast<int32_t>(i), row,
                          std::min(row + rows_per_piece, shape.rows), begin,
                          begin + panels});
      }
      begin += panels;
      remaining_cost -= panels * PanelCost(shape, shape.rows);
    }
  }
  return pieces;
}

}  // namespace moe::cpu
