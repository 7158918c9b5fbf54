#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// The table that sorts the (row, choice) pairs of the experts [first_expert,
// first_expert + experts) by expert, stably in row order; `experts` is that of
// expert_offsets. For all experts of a layer it is MoeGating's table. For rows
// that an exchange brought, of which some are for other ranks' experts.
struct SortByExpertArgs {
  TensorView expert_ids;  // [rows, num_ids] i32; rows may be strided
  int64_t first_expert = 0;
  int64_t all_experts = 0;  // of the layer
  bool all_here = false;    // no id is of another rank's expert

  TensorView expert_offsets;  // out: [experts + 1] i32, prefix sums of counts
  // out: [rows * num_ids] i32; from expert_offsets[experts] on untouched.
  TensorView row_of_slot;
  TensorView slot_of;  // out: [rows, num_ids] i32; -1: another rank's expert
};
// kInvalidArgument naming the shapes if they do not fit. On the CPU kInternal
// for an id outside the layer's experts, or with all_here outside this rank's:
// what came is not what was sent.
absl::Status SortByExpert(const SortByExpertArgs& args, Stream& stream);

namespace cpu {
absl::Status SortByExpert(const SortByExpertArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
