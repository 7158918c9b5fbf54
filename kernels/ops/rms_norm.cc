#include "kernels/ops/rms_norm.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {

absl::Status RmsNorm(const RmsNormArgs& args, Stream& stream) {
  constexpr char kOp[] = "RmsNorm";
  const int64_t rows = args.x.dims[0], hidden = args.x.dims[1];
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "x", args.x, DType::kF32, {kAnySize, kAnySize}));
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "weight", args.weight, DType::kF32, {hidden}));
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "y", args.y, DType::kF32, {rows, hidden}));
  return MOE_DISPATCH(RmsNorm, stream, args);
}

}  // namespace moe
