#pragma once

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/weight_matrix.h"

namespace moe {

// One expert's weight in a stack of them; all have the same shape.
struct ExpertWeight {
  const WeightMatrix* weight = nullptr;  // [out, in]
  TensorView bias;                       // [out], or empty
};

// The product of each expert with the rows that chose it, as one job:
//   y[s, :] = epilogue(x[row(s), :] W_e^T + b_e)
// for the slots s in [expert_offsets[e], expert_offsets[e + 1]) of expert e,
// row(s) being row_of_slot[s], or s if that is empty. `along`, if it has rows,
// is one more product of the same job. Elements are computed as Linear's.
// kInvalidArgument naming the shapes if they do not fit and, on the CPU, values
// of the table that do not; elsewhere they are those of MoeGating.
struct ExpertLinearArgs {
  absl::Span<const ExpertWeight> experts;  // what they name outlives the op
  TensorView x;                            // [any, in] f32
  TensorView row_of_slot;                  // [slots] i32, or empty
  TensorView expert_offsets;               // [experts + 1] i32
  TensorView y;                            // [slots, out] f32
  Epilogue epilogue = Epilogue::kNone;
  LinearGroup along;  // y without rows: nothing
};
absl::Status ExpertLinear(const ExpertLinearArgs& args, Stream& stream);

namespace cpu {
absl::Status ExpertLinear(const ExpertLinearArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
