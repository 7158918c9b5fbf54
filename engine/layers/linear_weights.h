#pragma once

#include "kernels/core/tensor.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/weight_matrix.h"

namespace moe {

// The weights of y = x W^T + b. Immutable after loading.
struct LinearWeights {
  WeightMatrix weight;  // [out, in]
  Tensor bias;          // [out] f32, or empty

  // A group of GroupedLinear that applies the weights to all rows of x.
  LinearGroup Group(const TensorView& x, const TensorView& y) const {
    LinearGroup group;
    group.weight = &weight;
    group.x = x;
    group.bias = bias.view();
    group.y = y;
    return group;
  }
};

}  // namespace moe
