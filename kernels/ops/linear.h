#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/weight_matrix.h"

namespace moe {

// Applied to x W^T + bias, element by element.
enum class Epilogue { kNone, kGeluTanh, kGeluErf, kSquaredRelu };

// One product of a grouped linear job:
//   y[r, :] = epilogue(x[row(r), :] W^T + bias) (+ residual[r, :])
// where row(r) = x_rows[r] if x_rows is given, else r. All float32 but the
// weight. Each element is one chain of fused multiply-adds over `in` ascending,
// whatever the number of rows: a row's result has the same bits in any batch.
struct LinearGroup {
  const WeightMatrix* weight = nullptr;  // [out, in]; outlives the op
  TensorView x;                          // [x_rows_available, in]
  TensorView x_rows;                     // [rows] i32 indices into x, or empty
  TensorView bias;                       // [out], or empty
  TensorView residual;                   // [rows, out], or empty; may alias y
  TensorView y;                          // [rows, out]
  Epilogue epilogue = Epilogue::kNone;
};

// Runs all groups as one job over (group, panel) pieces, so that many small
// experts cost the bytes they read and nothing more. Groups with no rows are
// skipped. The groups' outputs must not overlap each other or any input (but
// for residual == y). Rows of x and y may be strided (last stride 1).
// kInvalidArgument naming the shapes if they do not fit and, on the CPU, an
// index out of range; elsewhere the caller has checked those.
absl::Status GroupedLinear(absl::Span<const LinearGroup> groups,
                           Stream& stream);

// GroupedLinear's check of one product, for ops that run some of them.
absl::Status CheckLinearGroup(const LinearGroup& group, const Stream& stream);

// The same for one product.
absl::Status Linear(const LinearGroup& group, Stream& stream);

}  // namespace moe
