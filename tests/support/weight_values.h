#pragma once

#include <vector>

#include "kernels/core/tensor.h"

namespace moe {

// The values of a contiguous f32, f16 or bf16 tensor, row-major.
std::vector<float> WeightValues(const TensorView& view);

}  // namespace moe
