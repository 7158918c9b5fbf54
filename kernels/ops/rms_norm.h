#pragma once

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// y = x / sqrt(mean(x^2) + epsilon) * weight, row by row; sums in an order that
// does not depend on the batch. All f32. y may alias x.
struct RmsNormArgs {
  TensorView x;       // [rows, hidden]
  TensorView weight;  // [hidden]
  TensorView y;       // [rows, hidden]
  float epsilon = 1e-5f;
};
absl::Status RmsNorm(const RmsNormArgs& args, Stream& stream);

namespace cpu {
absl::Status RmsNorm(const RmsNormArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
