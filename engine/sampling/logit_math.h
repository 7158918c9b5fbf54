#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "absl/types/span.h"

namespace moe {

// Loops over the vocabulary, which the compiler vectorises. Sums have a fixed
// order, so equal logits give equal bits on every machine.

// e^x for x <= 0 to 2e-7 relative, exactly 0 below -87. It calls no libm
// function, so that loops over it are vectorised.
inline float ExpNonPositive(float x) {
  // 2^n e^r with |r| <= ln(2)/2; adding 1.5 * 2^23 rounds to an integer.
  constexpr float kRounder = 12582912.0f;
  const float clamped = x < -87.0f ? -87.0f : x;
  const float shifted = clamped * 1.44269504f + kRounder;
  const float n = shifted - kRounder;
  // ln 2 in two parts: the first has few enough bits that n * part is exact.
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  int32_t shifted_bits;
  std::memcpy(&shifted_bits, &shifted, sizeof(shifted_bits));
  const int32_t power_bits = (shifted_bits - 0x4B400000 + 127) << 23;
  float power;
  std::memcpy(&power, &power_bits, sizeof(power));
  return x < -87.0f ? 0.0f : p * power;
}

// False if any value is infinite or NaN.
bool AllFinite(absl::Span<const float> values);

// Index of the first value that is not finite, or -1.
int64_t FirstNonFinite(absl::Span<const float> values);

// The largest value and its lowest index. -inf is allowed, NaN is not; `values`
// must not be empty.
struct Maximum {
  float value = 0.0f;
  int32_t index = 0;
};
Maximum FindMaximum(absl::Span<const float> values);

// Weights are summed in blocks of this many.
inline constexpr int64_t kWeightBlock = 512;

// weights[i] = exp((scores[i] - maximum) / temperature), block_sums[b] = the
// sum of block b's. Returns the sum of the block sums, in order. `weights` has
// the size of `scores`; `block_sums` is resized.
double ComputeWeights(absl::Span<const float> scores, float maximum,
                      float temperature, absl::Span<float> weights,
                      std::vector<double>* block_sums);

// The number of values that are larger than `value`, or equal with an index
// below `index`.
int64_t CountBefore(absl::Span<const float> values, float value, int32_t index);

}  // namespace moe
