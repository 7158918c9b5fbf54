#include "kernels/ops/moe_gating.h"

#include "absl/strings/str_cat.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {

absl::Status MoeGating(const MoeGatingArgs& args, Stream& stream) {
  constexpr char kOp[] = "MoeGating";
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "logits", args.logits, DType::kF32,
                              {kAnySize, kAnySize}));
  const int64_t rows = args.logits.dims[0], experts = args.logits.dims[1];
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "expert_ids", args.expert_ids,
                              DType::kI32, {rows, kAnySize}));
  const int64_t top_k = args.expert_ids.dims[1];
  if (top_k < 1 || top_k > experts) {
    return absl::InvalidArgumentError(absl::StrCat(
        kOp, ": top_k is ", top_k, ", must be in [1, ", experts, "]"));
  }
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "weights", args.weights, DType::kF32,
                              {rows, top_k}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "expert_offsets",
                              args.expert_offsets, DType::kI32, {experts + 1}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "row_of_slot", args.row_of_slot,
                              DType::kI32, {rows * top_k}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "slot_of", args.slot_of, DType::kI32,
                              {rows, top_k}));
  return MOE_DISPATCH(MoeGating, stream, args);
}

}  // namespace moe
