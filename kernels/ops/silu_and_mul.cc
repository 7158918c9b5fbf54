#include "kernels/ops/silu_and_mul.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {

absl::Status SiluAndMul(const SiluAndMulArgs& args, Stream& stream) {
  constexpr char kOp[] = "SiluAndMul";
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "y", args.y, DType::kF32, {kAnySize, kAnySize}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "x", args.x, DType::kF32,
                              {args.y.dims[0], 2 * args.y.dims[1]}));
  return MOE_DISPATCH(SiluAndMul, stream, args);
}

}  // namespace moe
