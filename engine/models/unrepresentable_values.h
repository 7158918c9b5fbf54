#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Elements of a weight that a type cannot hold as finite numbers.
struct UnrepresentableValues {
  int64_t not_finite = 0;  // NaN or infinite as they are
  int64_t too_large = 0;   // finite, but infinite once rounded to the type
};

// Counts them in `source`, row-major without gaps, in f32, f16 or bf16 and in
// host memory, for a conversion to `as`. Runs on the threads of `stream`, a CPU
// stream; much faster than the memory is read the first time.
UnrepresentableValues CountUnrepresentableValues(const TensorView& source, DType as,
                             Stream& stream);

}  // namespace moe
