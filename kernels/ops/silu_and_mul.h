#pragma once

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// y[r, i] = silu(x[r, i]) * x[r, n + i], silu(z) = z / (1 + exp(-z)). f32.
struct SiluAndMulArgs {
  TensorView x;  // [rows, 2 n]
  TensorView y;  // [rows, n]
};
absl::Status SiluAndMul(const SiluAndMulArgs& args, Stream& stream);

namespace cpu {
absl::Status SiluAndMul(const SiluAndMulArgs& args, CpuStream& stream);
}  // namespace cpu

}  // namespace moe
