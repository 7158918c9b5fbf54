#pragma once

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// y = (x - mean(x)) / sqrt(var(x) + epsilon) * weight + bias, row by row, with
// the biased variance; sums in an order that does not depend on the batch. All
// f32. y may alias x. kInvalidArgument naming the shapes if they do not fit.
struct LayerNormArgs {
  TensorView x;       // [rows, hidden]
  TensorView weight;  // [hidden]
  TensorView bias;    // [hidden], or empty
  TensorView y;       // [rows, hidden]
  float epsilon = 1e-5f;
};
absl::Status LayerNorm(const LayerNormArgs& args, Stream& stream);

namespace cpu {
absl::Status LayerNorm(const LayerNormArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
