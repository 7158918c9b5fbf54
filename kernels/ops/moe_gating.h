#pragma once

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Softmax over all experts, top-k choice (ties to the lowest expert id), and
// the table that sorts the (row, choice) pairs by expert, stably in row order:
// a counting sort, no one-hot tensors. Dropless.
//   weights[r, j] = p[e_j]; with `normalize`, divided by
//   max(sum over j, 1.19e-7) (DeepSpeed's top-2 and top-k rule).
// A row with no softmax (a NaN among its logits, or a largest one that is
// infinite) gets the experts 0 .. top_k - 1 and NaN for weights. The other
// rows are as they would be without it.
struct MoeGatingArgs {
  TensorView logits;  // [rows, experts] f32
  bool normalize = false;

  TensorView expert_ids;      // out: [rows, top_k] i32, by descending weight
  TensorView weights;         // out: [rows, top_k] f32
  TensorView expert_offsets;  // out: [experts + 1] i32, prefix sums of counts
  // out: [rows * top_k] i32. Slot s belongs to the expert with
  // expert_offsets[e] <= s < expert_offsets[e + 1].
  TensorView row_of_slot;
  TensorView slot_of;  // out: [rows, top_k] i32, the inverse
};
absl::Status MoeGating(const MoeGatingArgs& args, Stream& stream);

namespace cpu {
absl::Status MoeGating(const MoeGatingArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
