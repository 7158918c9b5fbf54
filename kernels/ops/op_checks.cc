#include "kernels/ops/op_checks.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// Below this many elements a wake-up of the pool costs more than it saves.
constexpr int64_t kInlineElements = 16 * 1024;

std::string Expected(DType dtype, absl::Span<const int64_t> dims) {
  return absl::StrCat(
      DTypeName(dtype), " [",
      absl::StrJoin(dims, ", ",
                    [](std::string* out, int64_t dim) {
                      absl::StrAppend(
                          out, dim == kAnySize ? "any" : absl::StrCat(dim));
                    }),
      "]");
}

}  // namespace

absl::Status CheckDevice(absl::string_view op, const Stream& stream,
                         absl::string_view name, const TensorView& view) {
  const Device device = stream.device();
  if (view.device == device) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      op, ": ", name, " ", view.ShapeString(), " lies on ",
      ToString(view.device), ", the stream is on ", ToString(device)));
}

absl::Status CheckShape(absl::string_view op, absl::string_view name,
                        const TensorView& view, DType dtype,
                        absl::Span<const int64_t> dims) {
  if (view.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        op, ": ", name, " is absent, must be ", Expected(dtype, dims)));
  }
  bool fits = view.dtype == dtype && view.rank == static_cast<int>(dims.size());
  int64_t stride = 1;
  bool packed = true;
  for (int i = static_cast<int>(dims.size()) - 1; fits && i >= 0; --i) {
    fits = dims[i] == kAnySize ? view.dims[i] >= 0 : view.dims[i] == dims[i];
    if (i > 0 || dims.size() == 1) packed = packed && view.strides[i] == stride;
    stride *= view.dims[i];
  }
  if (!fits || !packed) {
    return absl::InvalidArgumentError(
        absl::StrCat(op, ": ", name, " is ", view.ShapeString(),
                     fits ? " with gaps inside its rows" : "", ", must be ",
                     Expected(dtype, dims)));
  }
  return absl::OkStatus();
}

absl::Status CheckTensor(absl::string_view op, const Stream& stream,
                         absl::string_view name, const TensorView& view,
                         DType dtype, absl::Span<const int64_t> dims) {
  RETURN_IF_ERROR(CheckShape(op, name, view, dtype, dims));
  return CheckDevice(op, stream, name, view);
}

void ParallelRows(CpuStream& stream, int64_t rows, int64_t row_cost,
                  absl::FunctionRef<void(int64_t begin, int64_t end)> body) {
  const int64_t threads = stream.threads().num_threads();
  if (rows <= 1 || threads == 1 || rows * row_cost < kInlineElements) {
    if (rows > 0) body(0, rows);
    return;
  }
  const int64_t part =
      std::max<int64_t>((rows + 4 * threads - 1) / (4 * threads), 1);
  stream.threads().ParallelFor(
      (rows + part - 1) / part, [&](int64_t task, int) {
        body(task * part, std::min(rows, (task + 1) * part));
      });
}

}  // namespace moe
