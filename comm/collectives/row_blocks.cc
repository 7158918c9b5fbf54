#include "comm/collectives/row_blocks.h"

#include <cstring>
#include <numeric>

namespace moe {

std::vector<int64_t> RowOffsets(absl::Span<const int64_t> rows) {
  std::vector<int64_t> offsets(rows.size() + 1, 0);
  std::partial_sum(rows.begin(), rows.end(), offsets.begin() + 1);
  return offsets;
}

int64_t TotalRows(absl::Span<const int64_t> rows) {
  return std::accumulate(rows.begin(), rows.end(), int64_t{0});
}

void TransposeBlocks(const void* in, absl::Span<const int64_t> rows,
                     int num_outer, int num_inner, size_t row_bytes,
                     void* out) {
  const std::vector<int64_t> offsets = RowOffsets(rows);
  auto* to = static_cast<std::byte*>(out);
  for (int j = 0; j < num_inner; ++j) {
    for (int i = 0; i < num_outer; ++i) {
      const int block = i * num_inner + j;
      const size_t bytes = rows[block] * row_bytes;
      if (bytes == 0) continue;
      std::memcpy(
          to, static_cast<const std::byte*>(in) + offsets[block] * row_bytes,
          bytes);
      to += bytes;
    }
  }
}

std::vector<int64_t> TransposeRows(absl::Span<const int64_t> rows,
                                   int num_outer, int num_inner) {
  std::vector<int64_t> transposed;
  transposed.reserve(rows.size());
  for (int j = 0; j < num_inner; ++j) {
    for (int i = 0; i < num_outer; ++i) {
      transposed.push_back(rows[i * num_inner + j]);
    }
  }
  return transposed;
}

std::vector<int64_t> SumInner(absl::Span<const int64_t> rows, int num_outer,
                              int num_inner) {
  std::vector<int64_t> sums;
  for (int i = 0; i < num_outer; ++i) {
    sums.push_back(TotalRows(rows.subspan(i * num_inner, num_inner)));
  }
  return sums;
}

}  // namespace moe
