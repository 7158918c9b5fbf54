#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace moe {

// Prefix sums: [rows.size() + 1], from 0 to the total.
std::vector<int64_t> RowOffsets(absl::Span<const int64_t> rows);

int64_t TotalRows(absl::Span<const int64_t> rows);

// The layout transform of the exchanges: `in` holds num_outer x num_inner
// blocks in row-major order, block (i, j) being rows[i * num_inner + j] rows of
// row_bytes; `out`, which must not overlap, gets them ordered (j, i).
void TransposeBlocks(const void* in, absl::Span<const int64_t> rows,
                     int num_outer, int num_inner, size_t row_bytes, void* out);

// rows, transposed the same way.
std::vector<int64_t> TransposeRows(absl::Span<const int64_t> rows,
                                   int num_outer, int num_inner);

// [num_outer]: sums of the num_inner consecutive entries of each.
std::vector<int64_t> SumInner(absl::Span<const int64_t> rows, int num_outer,
                              int num_inner);

}  // namespace moe
