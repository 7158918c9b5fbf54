#include "comm/collectives/row_blocks.h"

#include <numeric>

#include "kernels/core/status_macros.h"

namespace moe {

std::vector<int64_t> RowOffsets(absl::Span<const int64_t> rows) {
  std::vector<int64_t> offsets(rows.size() + 1, 0);
  std::partial_sum(rows.begin(), rows.end(), offsets.begin() + 1);
  return offsets;
}

int64_t TotalRows(absl::Span<const int64_t> rows) {
  return std::accumulate(rows.begin(), rows.end(), int64_t{0});
}

absl::Status TransposeBlocks(const TensorView& in,
                             absl::Span<const int64_t> rows, int num_outer,
                             int num_inner, const TensorView& out,
                             Stream& stream) {
  const std::vector<int64_t> offsets = RowOffsets(rows);
  int64_t to = 0;
  for (int j = 0; j < num_inner; ++j) {
    for (int i = 0; i < num_outer; ++i) {
      const int block = i * num_inner + j;
      if (rows[block] == 0) continue;
      RETURN_IF_ERROR(stream.Copy(in.Rows(offsets[block], offsets[block + 1]),
                                  out.Rows(to, to + rows[block])));
      to += rows[block];
    }
  }
  return absl::OkStatus();
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
