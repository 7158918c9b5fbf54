#include "kernels/ops/linear.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kernels/core/dispatch.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/linear_cpu.h"
#include "kernels/ops/op_checks.h"

namespace moe {
namespace {

absl::Status Error(size_t group, absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("Linear: group ", group, ": ", what));
}

// Rows of floats without gaps between the elements of a row.
bool IsF32Rows(const TensorView& view) {
  return !view.empty() && view.dtype == DType::kF32 && view.rank == 2 &&
         (view.strides[1] == 1 || view.dims[1] == 1);
}

absl::Status CheckGroup(size_t index, const LinearGroup& group,
                        const Stream& stream) {
  if (group.y.rank != 2) {
    return Error(index, absl::StrCat("y is ", group.y.ShapeString(),
                                     ", must be f32 [rows, out]"));
  }
  const int64_t rows = group.y.dims[0];
  if (rows == 0) return absl::OkStatus();
  if (group.weight == nullptr || group.weight->empty()) {
    return Error(index, "there is no weight");
  }
  const int64_t out = group.weight->out_features();
  const int64_t in = group.weight->in_features();
  const std::string weight =
      absl::StrCat("the weight is [", out, ", ", in, "]");
  if (!IsF32Rows(group.y) || group.y.dims[1] != out) {
    return Error(index, absl::StrCat("y is ", group.y.ShapeString(),
                                     ", must be f32 [rows, out] with "
                                     "contiguous rows; ",
                                     weight));
  }
  if (!IsF32Rows(group.x) || group.x.dims[1] != in) {
    return Error(index, absl::StrCat("x is ", group.x.ShapeString(),
                                     ", must be f32 [rows, in] with "
                                     "contiguous rows; ",
                                     weight));
  }
  if (group.x_rows.empty()) {
    if (group.x.dims[0] < rows) {
      return Error(index, absl::StrCat("y has ", rows, " rows, x only ",
                                       group.x.dims[0]));
    }
  } else if (group.x_rows.dtype != DType::kI32 || group.x_rows.rank != 1 ||
             group.x_rows.dims[0] != rows || !group.x_rows.is_contiguous()) {
    return Error(index, absl::StrCat("x_rows is ", group.x_rows.ShapeString(),
                                     ", must be contiguous i32 [", rows, "]"));
  }
  if (!group.bias.empty() &&
      (group.bias.dtype != DType::kF32 || group.bias.rank != 1 ||
       group.bias.dims[0] != out || !group.bias.is_contiguous())) {
    return Error(index,
                 absl::StrCat("bias is ", group.bias.ShapeString(),
                              ", must be contiguous f32 [out]; ", weight));
  }
  if (!group.residual.empty() &&
      (!IsF32Rows(group.residual) || group.residual.dims[0] != rows ||
       group.residual.dims[1] != out)) {
    return Error(index,
                 absl::StrCat("residual is ", group.residual.ShapeString(),
                              ", y is ", group.y.ShapeString()));
  }
  const std::pair<absl::string_view, TensorView> tensors[] = {
      {"the weight", group.weight->storage()},
      {"x", group.x},
      {"x_rows", group.x_rows},
      {"bias", group.bias},
      {"residual", group.residual},
      {"y", group.y}};
  for (const auto& [name, view] : tensors) {
    if (view.empty()) continue;
    RETURN_IF_ERROR(
        CheckDevice(absl::StrCat("Linear: group ", index), stream, name, view));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckLinearGroup(const LinearGroup& group, const Stream& stream) {
  return CheckGroup(0, group, stream);
}

absl::Status GroupedLinear(absl::Span<const LinearGroup> groups,
                           Stream& stream) {
  for (size_t i = 0; i < groups.size(); ++i) {
    RETURN_IF_ERROR(CheckGroup(i, groups[i], stream));
  }
  return MOE_DISPATCH(GroupedLinear, stream, groups);
}

absl::Status Linear(const LinearGroup& group, Stream& stream) {
  return GroupedLinear(absl::MakeConstSpan(&group, 1), stream);
}

}  // namespace moe
