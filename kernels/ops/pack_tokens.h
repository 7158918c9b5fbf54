#pragma once

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

namespace cpu {
absl::Status PackTokens(const PackTokensArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
