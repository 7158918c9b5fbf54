#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"
#include "tests/support/device_variant.h"

namespace moe {

inline Tensor MakeTensor(absl::Span<const int64_t> dims,
                         DType dtype = DType::kF32) {
  return *Tensor::Allocate(dtype, dims);
}

// Fixed pseudo-random values in [-scale, scale).
inline Tensor RandomTensor(absl::Span<const int64_t> dims, uint32_t seed,
                           float scale = 1.0f) {
  Tensor tensor = MakeTensor(dims);
  uint32_t state = seed * 2654435761u + 12345u;
  for (int64_t i = 0; i < tensor.view().num_elements(); ++i) {
    state = state * 1664525u + 1013904223u;
    tensor.ptr<float>()[i] =
        scale * (static_cast<float>(state >> 8) / (1 << 23) - 1.0f);
  }
  return tensor;
}

inline bool SameBits(const float* a, const float* b, int64_t n) {
  return std::memcmp(a, b, n * sizeof(float)) == 0;
}

}  // namespace moe
