#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Rotates the first 2 * half channels of each head in place, pairing channel i
// with i + half (half = cos.dims[1]):
//   x'[i]        = x[i] cos - x[i + half] sin
//   x'[i + half] = x[i + half] cos + x[i] sin
// with cos and sin of (positions[r], i) from the tables. On the CPU a position
// out of range is kInvalidArgument naming it; elsewhere the caller has checked
// them.
struct RopeArgs {
  TensorView x;          // [rows, heads, head_dim] f32, in place
  TensorView positions;  // [rows] i32
  TensorView cos;        // [max_positions, half] f32
  TensorView sin;        // [max_positions, half] f32
};
absl::Status Rope(const RopeArgs& args, Stream& stream);

// Fills the tables [any, (rotary_dim + 1) / 2]: angle = position * theta^(-2 i
// / rotary_dim), also where rotary_dim is odd. With `double_cos_quirk` they
// hold cos(cos(angle)) and sin(cos(angle)), as Megatron-DeepSpeed's 2025 code
// rotates.
// Both are host memory.
absl::Status FillRopeTables(float theta, int64_t rotary_dim,
                            bool double_cos_quirk, const TensorView& cos,
                            const TensorView& sin);

namespace cpu {
absl::Status Rope(const RopeArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
