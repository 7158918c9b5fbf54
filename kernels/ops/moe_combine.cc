#include "kernels/ops/moe_combine.h"

#include "absl/strings/str_cat.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {

absl::Status MoeCombine(const MoeCombineArgs& args, Stream& stream) {
  constexpr char kOp[] = "MoeCombine";
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "y", args.y, DType::kF32, {kAnySize, kAnySize}));
  const int64_t rows = args.y.dims[0], hidden = args.y.dims[1];
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "weights", args.weights, DType::kF32,
                              {rows, kAnySize}));
  const int64_t top_k = args.weights.dims[1];
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "slot_of", args.slot_of, DType::kI32,
                              {rows, top_k}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "expert_out", args.expert_out,
                              DType::kF32, {kAnySize, hidden}));
  if (!args.mlp_out.empty()) {
    RETURN_IF_ERROR(CheckTensor(kOp, stream, "mlp_out", args.mlp_out,
                                DType::kF32, {rows, hidden}));
  }
  if (!args.coefficients.empty()) {
    RETURN_IF_ERROR(CheckTensor(kOp, stream, "coefficients", args.coefficients,
                                DType::kF32, {rows, 2}));
    if (args.mlp_out.empty() || args.moe_index < 0 || args.moe_index > 1) {
      return absl::InvalidArgumentError(
          absl::StrCat(kOp,
                       ": coefficients need mlp_out and a moe_index of 0 "
                       "or 1, which is ",
                       args.moe_index));
    }
  }
  if (!args.residual.empty()) {
    RETURN_IF_ERROR(CheckTensor(kOp, stream, "residual", args.residual,
                                DType::kF32, {rows, hidden}));
  }
  return MOE_DISPATCH(MoeCombine, stream, args);
}

}  // namespace moe
