#include "kernels/ops/rope.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {

absl::Status Rope(const RopeArgs& args, Stream& stream) {
  constexpr char kOp[] = "Rope";
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "x", args.x, DType::kF32,
                              {kAnySize, kAnySize, kAnySize}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "cos", args.cos, DType::kF32,
                              {kAnySize, kAnySize}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "sin", args.sin, DType::kF32,
                              {args.cos.dims[0], args.cos.dims[1]}));
  if (2 * args.cos.dims[1] > args.x.dims[2]) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": cos is ", args.cos.ShapeString(),
                     ", too wide for the heads of x ", args.x.ShapeString()));
  }
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "positions", args.positions,
                              DType::kI32, {args.x.dims[0]}));
  return MOE_DISPATCH(Rope, stream, args);
}

absl::Status FillRopeTables(float theta, int64_t rotary_dim,
                            bool double_cos_quirk, const TensorView& cos,
                            const TensorView& sin) {
  constexpr char kOp[] = "FillRopeTables";
  const int64_t half = (rotary_dim + 1) / 2;
  if (rotary_dim <= 0 || !(theta > 0)) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": rotary_dim is ", rotary_dim, " and theta ", theta,
                     ", must be positive"));
  }
  RETURN_IF_ERROR(CheckShape(kOp, "cos", cos, DType::kF32, {kAnySize, half}));
  RETURN_IF_ERROR(
      CheckShape(kOp, "sin", sin, DType::kF32, {cos.dims[0], half}));
  for (int64_t i = 0; i < half; ++i) {
    // In float32 where the training code has float32: at high positions the
    // rounding of the angle is visible in the logits.
    const float frequency =
        1.0f / std::pow(theta, static_cast<float>(2 * i) /
                                   static_cast<float>(rotary_dim));
    for (int64_t p = 0; p < cos.dims[0]; ++p) {
      float angle = static_cast<float>(p) * frequency;
      if (double_cos_quirk) angle = std::cos(angle);
      cos.ptr<float>()[p * RowStride(cos) + i] = std::cos(angle);
      sin.ptr<float>()[p * RowStride(sin) + i] = std::sin(angle);
    }
  }
  return absl::OkStatus();
}

}  // namespace moe
