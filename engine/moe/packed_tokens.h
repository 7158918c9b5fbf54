#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/core/tensor.h"

namespace moe {

// A row on its way to experts: its hidden values, f32, then the ids of experts
// it is for, i32, padded to whole cache lines. The ids spare the exchange that
// would tell how many rows come for which expert.
struct RowFormat {
  int64_t hidden = 0;
  int64_t num_ids = 1;

  // In elements of 4 bytes.
  int64_t stride() const { return (hidden + num_ids + 15) / 16 * 16; }
  size_t bytes() const { return static_cast<size_t>(stride()) * 4; }
};

// Writes row `row` of x [any, hidden] and its ids to `out`.
void PackRow(const RowFormat& format, const TensorView& x, int64_t row,
             const int32_t* ids, float* out);

// The hidden values of `rows` packed rows, [rows, hidden] with gaps, and the
// ids of the first (the others follow at the format's stride).
TensorView PackedHidden(const RowFormat& format, float* packed, int64_t rows);
const int32_t* PackedIds(const RowFormat& format, const float* packed);

// Rows sorted by the experts they are for, as GatingResult has them.
struct SlotTable {
  std::vector<int32_t> expert_offsets;  // [experts + 1]
  std::vector<int32_t> row_of_slot;     // [slots], rows ascending per expert
  std::vector<int32_t> slot_of;         // [rows, num_ids]; -1: not here

  int64_t num_slots() const { return static_cast<int64_t>(row_of_slot.size()); }
};

// Sorts the rows that are for experts [first, first + count) out of
// `all_experts`. Row r has ids[r * stride + j], j < num_ids. kInternal for an
// id outside all experts: what came is not what was sent.
absl::Status SortByExpert(const int32_t* ids, int64_t stride, int64_t rows,
                          int64_t num_ids, int64_t first, int64_t count,
                          int64_t all_experts, SlotTable& table);

// out[index[s], :] = in[s, :], rows of `hidden` f32 without gaps.
void ScatterRows(const float* in, absl::Span<const int32_t> index,
                 int64_t hidden, float* out);

// A view of a table in host memory that ops only read; never absent.
TensorView TableView(absl::Span<const int32_t> table);

}  // namespace moe
