#pragma once

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// moe[r, :] = sum over j ascending of weights[r, j] * expert_out[slot_of[r, j],
// :] y[r, :]   = residual[r, :] + m[r, :], where m is
//   moe                               without an MLP branch,
//   c[moe_index] * moe + c[1 - moe_index] * mlp,  c = softmax(coefficients[r])
//   moe + mlp                         with an MLP branch and no coefficients.
// All f32; fixed order of operations. y may alias residual. On the CPU a slot
// out of range is kInvalidArgument naming it; elsewhere the caller has checked
// them.
struct MoeCombineArgs {
  TensorView expert_out;    // [slots, hidden], any number of slots
  TensorView slot_of;       // [rows, top_k] i32
  TensorView weights;       // [rows, top_k]
  TensorView mlp_out;       // [rows, hidden], or empty
  TensorView coefficients;  // [rows, 2] before softmax, or empty
  int moe_index = 0;        // which coefficient is the experts': 0 or 1
  TensorView residual;      // [rows, hidden], or empty
  TensorView y;             // [rows, hidden]
};
absl::Status MoeCombine(const MoeCombineArgs& args, Stream& stream);

namespace cpu {
absl::Status MoeCombine(const MoeCombineArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
