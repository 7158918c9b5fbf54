#include "kernels/ops/scatter_rows.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {

absl::Status ScatterRows(const ScatterRowsArgs& args, Stream& stream) {
  constexpr char kOp[] = "ScatterRows";
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "index", args.index, DType::kI32, {kAnySize}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "x", args.x, DType::kF32,
                              {args.index.dims[0], kAnySize}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "y", args.y, DType::kF32,
                              {kAnySize, args.x.dims[1]}));
  return MOE_DISPATCH(ScatterRows, stream, args);
}

}  // namespace moe
