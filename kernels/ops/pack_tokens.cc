#include "kernels/ops/pack_tokens.h"

#include "absl/strings/str_cat.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {

absl::Status PackTokens(const PackTokensArgs& args, Stream& stream) {
  constexpr char kOp[] = "PackTokens";
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "x", args.x, DType::kF32, {kAnySize, kAnySize}));
  const int64_t rows = args.x.dims[0];
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "expert_ids", args.expert_ids,
                              DType::kI32, {rows, kAnySize}));
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "y", args.y, DType::kF32, {rows, kAnySize}));
  if (args.y.dims[1] < args.x.dims[1] + args.expert_ids.dims[1]) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": y is ", args.y.ShapeString(),
                     ", too narrow for x ", args.x.ShapeString(),
                     " and expert_ids ", args.expert_ids.ShapeString()));
  }
  return MOE_DISPATCH(PackTokens, stream, args);
}

absl::Status PackSlots(const PackSlotsArgs& args, Stream& stream) {
  constexpr char kOp[] = "PackSlots";
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "x", args.x, DType::kF32, {kAnySize, kAnySize}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "row_of_slot", args.row_of_slot,
                              DType::kI32, {kAnySize}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "expert_offsets",
                              args.expert_offsets, DType::kI32, {kAnySize}));
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "y", args.y, DType::kF32, {kAnySize, kAnySize}));
  if (args.y.dims[1] < args.x.dims[1] + 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        kOp, ": y is ", args.y.ShapeString(), ", too narrow for x ",
        args.x.ShapeString(), " and an id"));
  }
  const int64_t end = args.first_slot + args.y.dims[0];
  if (args.first_slot < 0 || end > args.row_of_slot.dims[0]) {
    return absl::InvalidArgumentError(absl::StrCat(
        kOp, ": slots [", args.first_slot, ", ", end,
        ") are not all in row_of_slot ", args.row_of_slot.ShapeString()));
  }
  return MOE_DISPATCH(PackSlots, stream, args);
}

}  // namespace moe
