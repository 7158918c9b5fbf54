#include "kernels/ops/expert_linear.h"

#include "absl/strings/str_cat.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/op_checks.h"

namespace moe {
namespace {

constexpr char kOp[] = "ExpertLinear";

absl::Status CheckExperts(const ExpertLinearArgs& args, const Stream& stream) {
  const int64_t out = args.y.dims[1], in = args.x.dims[1];
  for (size_t e = 0; e < args.experts.size(); ++e) {
    const ExpertWeight& expert = args.experts[e];
    if (expert.weight == nullptr || expert.weight->out_features() != out ||
        expert.weight->in_features() != in) {
      return absl::InvalidArgumentError(absl::StrCat(
          kOp, ": the weight of expert ", e, " is ",
          expert.weight == nullptr
              ? "absent"
              : absl::StrCat("[", expert.weight->out_features(), ", ",
                             expert.weight->in_features(), "]"),
          ", must be [", out, ", ", in, "]"));
    }
    RETURN_IF_ERROR(
        CheckDevice(kOp, stream, "a weight", expert.weight->storage()));
    if (!expert.bias.empty()) {
      RETURN_IF_ERROR(
          CheckTensor(kOp, stream, "bias", expert.bias, DType::kF32, {out}));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ExpertLinear(const ExpertLinearArgs& args, Stream& stream) {
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "y", args.y, DType::kF32, {kAnySize, kAnySize}));
  RETURN_IF_ERROR(
      CheckTensor(kOp, stream, "x", args.x, DType::kF32, {kAnySize, kAnySize}));
  const int64_t slots = args.y.dims[0];
  if (!args.row_of_slot.empty()) {
    RETURN_IF_ERROR(CheckTensor(kOp, stream, "row_of_slot", args.row_of_slot,
                                DType::kI32, {slots}));
  } else if (args.x.dims[0] < slots) {
    return absl::InvalidArgumentError(
        absl::StrCat(kOp, ": y has ", slots, " rows, x only ", args.x.dims[0]));
  }
  RETURN_IF_ERROR(CheckTensor(kOp, stream, "expert_offsets",
                              args.expert_offsets, DType::kI32,
                              {static_cast<int64_t>(args.experts.size()) + 1}));
  RETURN_IF_ERROR(CheckExperts(args, stream));
  if (args.along.y.rank != 0) {
    RETURN_IF_ERROR(CheckLinearGroup(args.along, stream));
  }
  return MOE_DISPATCH(ExpertLinear, stream, args);
}

}  // namespace moe
