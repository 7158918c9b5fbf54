#include <algorithm>

#include "absl/strings/str_cat.h"
#include "kernels/ops/op_checks.h"
#include "kernels/ops/scatter_rows.h"

namespace moe::cpu {

absl::Status ScatterRows(const ScatterRowsArgs& args, CpuStream& stream) {
  const int64_t rows = args.index.dims[0], width = args.x.dims[1];
  const int32_t* const index = args.index.ptr<int32_t>();
  for (int64_t i = 0; i < rows; ++i) {
    if (index[i] < 0 || index[i] >= args.y.dims[0]) {
      return absl::InvalidArgumentError(
          absl::StrCat("ScatterRows: index ", index[i], " of row ", i,
                       " is outside [0, ", args.y.dims[0], ")"));
    }
  }
  ParallelRows(stream, rows, width, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      std::copy_n(args.x.ptr<float>() + i * RowStride(args.x), width,
                  args.y.ptr<float>() + index[i] * RowStride(args.y));
    }
  });
  return absl::OkStatus();
}

}  // namespace moe::cpu
