#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// The first `rows` rows of `scratch`, of the dtype and width of `like` [any,
// width]. The scratch, f32 or none yet, grows to them (EnsureCapacity).
// kResourceExhausted.
absl::StatusOr<TensorView> ScratchRows(Tensor& scratch, int64_t rows,
                                       const TensorView& like, Stream& stream);

}  // namespace moe
