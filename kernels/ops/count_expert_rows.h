#pragma once

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// counts[e] += expert_offsets[e + 1] - expert_offsets[e]: how many rows each
// expert has had, counted on the device.
struct CountExpertRowsArgs {
  TensorView expert_offsets;  // [experts + 1] i32
  TensorView counts;          // [experts] i64
};
absl::Status CountExpertRows(const CountExpertRowsArgs& args, Stream& stream);

namespace cpu {
absl::Status CountExpertRows(const CountExpertRowsArgs& args,
                             CpuStream& stream);
}  // namespace cpu

}  // namespace moe
