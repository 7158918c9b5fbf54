#include "engine/sampling/logit_math.h"

#include <algorithm>

namespace moe {
namespace {

constexpr uint32_t kExponent = 0x7F800000;

// Lanes of the fixed-order sums: enough to hide the latency of an addition.
constexpr int64_t kLanes = 8;

uint32_t Bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

double SumBlock(const float* weights, int64_t count) {
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      lanes[lane] += weights[i + lane];
    }
  }
  for (int64_t lane = 0; i < count; ++i, ++lane) lanes[lane] += weights[i];
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
         ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

}  // namespace

bool AllFinite(absl::Span<const float> values) {
  uint32_t bad = 0;
  for (float value : values) bad |= (Bits(value) & kExponent) == kExponent;
  return bad == 0;
}

int64_t FirstNonFinite(absl::Span<const float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) return static_cast<int64_t>(i);
  }
  return -1;
}

Maximum FindMaximum(absl::Span<const float> values) {
  float lanes[kLanes];
  std::fill_n(lanes, kLanes, values[0]);
  const int64_t count = static_cast<int64_t>(values.size());
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const float value = values[i + lane];
      lanes[lane] = lanes[lane] < value ? value : lanes[lane];
    }
  }
  float best = *std::max_element(lanes, lanes + kLanes);
  for (; i < count; ++i) best = std::max(best, values[i]);
  const auto first = std::find(values.begin(), values.end(), best);
  return {best, static_cast<int32_t>(first - values.begin())};
}

double ComputeWeights(absl::Span<const float> scores, float maximum,
                      float temperature, absl::Span<float> weights,
                      std::vector<double>* block_sums) {
  const int64_t count = static_cast<int64_t>(scores.size());
  block_sums->clear();
  double total = 0.0;
  for (int64_t begin = 0; begin < count; begin += kWeightBlock) {
    const int64_t size = std::min(kWeightBlock, count - begin);
    const float* in = scores.data() + begin;
    float* out = weights.data() + begin;
    for (int64_t i = 0; i < size; ++i) {
      out[i] = ExpNonPositive((in[i] - maximum) / temperature);
    }
    block_sums->push_back(SumBlock(out, size));
    total += block_sums->back();
  }
  return total;
}

int64_t CountBefore(absl::Span<const float> values, float value,
                    int32_t index) {
  int64_t count = 0;
  for (float other : values) count += other > value;
  for (int32_t i = 0; i < index; ++i) count += values[i] == value;
  return count;
}

}  // namespace moe
