#include "tests/support/cut_weight.h"

#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "kernels/core/dtype.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<HostWeight> CutWeight(const TensorView& whole,
                                     const WeightSlice& slice) {
  const int64_t all_columns = whole.rank == 2 ? whole.dims[1] : 1;
  const IndexRange columns = slice.columns.value_or(IndexRange{0, all_columns});
  std::vector<int64_t> rows;
  for (const IndexRange& range : slice.rows) {
    for (int64_t r = range.begin; r < range.end; ++r) rows.push_back(r);
  }
  if (slice.rows.empty()) {
    for (int64_t r = 0; r < whole.dims[0]; ++r) rows.push_back(r);
  }
  std::vector<int64_t> dims = {static_cast<int64_t>(rows.size())};
  if (whole.rank == 2) dims.push_back(columns.size());
  HostWeight cut;
  ASSIGN_OR_RETURN(cut.owned, Tensor::Allocate(whole.dtype, dims));
  cut.view = cut.owned.view();
  const int64_t size = static_cast<int64_t>(SizeOf(whole.dtype));
  char* to = cut.owned.ptr<char>();
  for (const int64_t r : rows) {
    for (int64_t c = columns.begin; c < columns.end; ++c, to += size) {
      if (r < 0 || r >= whole.dims[0] || c < 0 || c >= all_columns) {
        return absl::InvalidArgumentError("the slice leaves the weight");
      }
      std::memcpy(to, whole.ptr<char>() + (r * all_columns + c) * size,
                  static_cast<size_t>(size));
    }
  }
  return cut;
}

}  // namespace moe
