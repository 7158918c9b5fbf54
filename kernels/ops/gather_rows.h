#pragma once

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// y[i, :] = x[index[i], :]. On the CPU an index out of range is
// kInvalidArgument naming it; elsewhere the caller has checked them. x and y
// must not overlap.
struct GatherRowsArgs {
  TensorView x;      // [any, width] f32
  TensorView index;  // [rows] i32
  TensorView y;      // [rows, width] f32
};
absl::Status GatherRows(const GatherRowsArgs& args, Stream& stream);

namespace cpu {
absl::Status GatherRows(const GatherRowsArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
