#include "kernels/ops/count_expert_rows.h"

#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {

absl::Status CountExpertRows(const CountExpertRowsArgs& args, Stream& stream) {
  constexpr char kOp[] = "CountExpertRows";
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "counts", args.counts, DType::kI64, {kAnySize}));
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "expert_offsets",
                              args.expert_offsets, DType::kI32,
                              {args.counts.dims[0] + 1}));
  return MOE_DISPATCH(CountExpertRows, stream, args);
}

}  // namespace moe
