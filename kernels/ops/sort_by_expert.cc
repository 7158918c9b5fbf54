#include "kernels/ops/sort_by_expert.h"

#include "absl/strings/str_cat.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {

absl::Status SortByExpert(const SortByExpertArgs& args, Stream& stream) {
  constexpr char kOp[] = "SortByExpert";
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "expert_ids", args.expert_ids,
                              DType::kI32, {kAnySize, kAnySize}));
  const int64_t rows = args.expert_ids.dims[0];
  const int64_t num_ids = args.expert_ids.dims[1];
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "expert_offsets",
                              args.expert_offsets, DType::kI32, {kAnySize}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "row_of_slot", args.row_of_slot,
                              DType::kI32, {rows * num_ids}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "slot_of", args.slot_of, DType::kI32,
                              {rows, num_ids}));
  const int64_t experts = args.expert_offsets.dims[0] - 1;
  if (experts < 0 || args.first_expert < 0 ||
      args.first_expert + experts > args.all_experts) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": ", experts, " experts from ", args.first_expert,
                     " on do not lie within the layer's ", args.all_experts));
  }
  return MOE_DISPATCH(SortByExpert, stream, args);
}

}  // namespace moe
