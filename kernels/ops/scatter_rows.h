#pragma once

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// y[index[i], :] = x[i, :]; other rows of y stay as they are. Indices are
// different from each other. On the CPU an index out of range is
// kInvalidArgument naming it; elsewhere the caller has checked them. x and y
// must not overlap.
struct ScatterRowsArgs {
  TensorView x;      // [rows, width] f32
  TensorView index;  // [rows] i32
  TensorView y;      // [any, width] f32
};
absl::Status ScatterRows(const ScatterRowsArgs& args, Stream& stream);

namespace cpu {
absl::Status ScatterRows(const ScatterRowsArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
