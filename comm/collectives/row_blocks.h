#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Prefix sums: [rows.size() + 1], from 0 to the total.
std::vector<int64_t> RowOffsets(absl::Span<const int64_t> rows);

int64_t TotalRows(absl::Span<const int64_t> rows);

// The layout transform of the exchanges: `in` holds num_outer x num_inner
// blocks in row-major order, block (i, j) being rows[i * num_inner + j] of its
// rows; `out`, which must not overlap, gets them ordered (j, i). Both are
// [sum(rows), width], contiguous, on the stream's device or pinned.
absl::Status TransposeBlocks(const TensorView& in,
                             absl::Span<const int64_t> rows, int num_outer,
                             int num_inner, const TensorView& out,
                             Stream& stream);

// rows, transposed the same way.
std::vector<int64_t> TransposeRows(absl::Span<const int64_t> rows,
                                   int num_outer, int num_inner);

// [num_outer]: sums of the num_inner consecutive entries of each.
std::vector<int64_t> SumInner(absl::Span<const int64_t> rows, int num_outer,
                              int num_inner);

}  // namespace moe
