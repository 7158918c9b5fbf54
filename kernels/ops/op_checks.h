#pragma once

#include <cstdint>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "kernels/core/cpu_stream.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Any size is right for this dimension.
inline constexpr int64_t kAnySize = -1;

// kInvalidArgument "<op>: <name> is f32 [8, 512], must be f32 [8, 1024] ..." if
// `view` is absent, of another dtype or shape, or has gaps within a row (the
// first dimension alone may be strided).
absl::Status CheckShape(absl::string_view op, absl::string_view name,
                        const TensorView& view, DType dtype,
                        absl::Span<const int64_t> dims);

// CheckShape and CheckDevice: for every tensor of every op.
absl::Status CheckTensor(absl::string_view op, const Stream& stream,
                         absl::string_view name, const TensorView& view,
                         DType dtype, absl::Span<const int64_t> dims);

// kInvalidArgument if `view` lies on another device than the stream's.
absl::Status CheckDevice(absl::string_view op, const Stream& stream,
                         absl::string_view name, const TensorView& view);

// Distance between rows in elements.
inline int64_t RowStride(const TensorView& view) { return view.strides[0]; }

// Calls body(begin, end) over parts that cover [0, rows): on the stream's
// threads if `rows` rows of `row_cost` elements are worth it, else inline.
void ParallelRows(CpuStream& stream, int64_t rows, int64_t row_cost,
                  absl::FunctionRef<void(int64_t begin, int64_t end)> body);

}  // namespace moe
