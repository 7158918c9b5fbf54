#pragma once

#include "absl/status/statusor.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/config/weight_slice.h"
#include "kernels/core/tensor.h"

namespace moe {

// A copy of `slice` of a whole, contiguous weight, element by element: the
// expected result of Checkpoint::GetShard. kInvalidArgument if the slice
// exceeds the weight.
absl::StatusOr<HostWeight> CutWeight(const TensorView& whole,
                                     const WeightSlice& slice);

}  // namespace moe
