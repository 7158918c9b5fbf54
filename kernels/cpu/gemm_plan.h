#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace moe::cpu {

// What a plan needs to know of one product y [rows, out] = x [rows, in] W^T.
struct GemmShape {
  int64_t rows = 0;
  int64_t num_panels = 0;
  int64_t panel_bytes = 0;
};

// One task: some rows of some panels of one product.
struct GemmPiece {
  int32_t gemm_idx = 0;
  int64_t row_begin = 0;
  int64_t row_end = 0;
  int64_t panel_begin = 0;
  int64_t panel_end = 0;
};

// Up to this many rows a piece streams each panel once, from its first to its
// last byte; with more, it goes through all of its panels block of k by block.
inline constexpr int64_t kMaxStreamedRows = 56;
// Most rows of a piece: a block of k of their activations stays in the
// second-level cache.
inline constexpr int64_t kMaxPieceRows = 192;

// Cuts the products into pieces, in the order in which they are best started:
// long ones first, so that each worker streams memory in long runs, then ever
// shorter ones, so that all workers end at about the same time. Row blocks of
// the same panels are neighbours. A piece of more than kMaxStreamedRows rows
// has at most `max_blocked_panels` panels. How the products are cut does not
// affect their results. Products without rows get no piece.
std::vector<GemmPiece> PlanGemm(absl::Span<const GemmShape> shapes,
                                int num_workers, int64_t max_blocked_panels);

}  // namespace moe::cpu
