#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Packs each row with the ids of the experts it is for, to be sent to other
// ranks:
//   y[r, 0 .. hidden)                  = x[r, :]
//   y[r, hidden .. hidden + num_ids)   = expert_ids[r, :], as the bits of i32
// and leaves the rest of y's row as it is. y must not overlap the others.
struct PackTokensArgs {
  TensorView x;           // [rows, hidden] f32
  TensorView expert_ids;  // [rows, num_ids] i32
  TensorView y;           // [rows, at least hidden + num_ids] f32
};
absl::Status PackTokens(const PackTokensArgs& args, Stream& stream);

// Packs slots [first_slot, first_slot + rows) of the gating table, each as its
// row with the id of its expert, to be sent to that expert's rank: with
// s = first_slot + i and expert_offsets[e] <= s < expert_offsets[e + 1],
//   y[i, 0 .. hidden) = x[row_of_slot[s], :]
//   y[i, hidden]      = e, as the bits of an i32
// and leaves the rest of y's row as it is. y must not overlap the others.
// kInvalidArgument naming the shapes if they do not fit and, on the CPU, values
// of the table that do not; elsewhere they are those of MoeGating.
struct PackSlotsArgs {
  TensorView x;               // [any, hidden] f32
  TensorView row_of_slot;     // [slots] i32
  TensorView expert_offsets;  // [experts + 1] i32
  int64_t first_slot = 0;
  TensorView y;  // [rows, at least hidden + 1] f32
};
absl::Status PackSlots(const PackSlotsArgs& args, Stream& stream);

namespace cpu {
absl::Status PackTokens(const PackTokensArgs& args, CpuStream& stream);
absl::Status PackSlots(const PackSlotsArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
