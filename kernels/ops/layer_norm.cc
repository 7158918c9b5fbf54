#include "kernels/ops/layer_norm.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {

absl::Status LayerNorm(const LayerNormArgs& args, Stream& stream) {
  constexpr char kOp[] = "LayerNorm";
  const int64_t rows = args.x.dims[0], hidden = args.x.dims[1];
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "x", args.x, DType::kF32, {kAnySize, kAnySize}));
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "weight", args.weight, DType::kF32, {hidden}));
  if (!args.bias.empty()) {
    RETURN_IF_ERROR(
        CheckTensor(kOp, stream, "bias", args.bias, DType::kF32, {hidden}));
  }
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "y", args.y, DType::kF32, {rows, hidden}));
  return MOE_DISPATCH(LayerNorm, stream, args);
}

}  // namespace moe
