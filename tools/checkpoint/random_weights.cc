#include "tools/checkpoint/random_weights.h"

#include <cmath>

#include "absl/strings/match.h"

namespace moe {
namespace {

// splitmix64 (Steele, Lea, Flood 2014): one step of its counter and finalizer.
uint64_t Mix(uint64_t z) {
  z += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

uint64_t HashName(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (char c : name) {
    hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  }
  return hash;
}

}  // namespace

void RandomWeights::FillRow(const std::string& name, int64_t row,
                            absl::Span<float> values) const {
  float center = 0, deviation = 0.02f;
  if (absl::StrContains(name, "norm.weight")) {
    center = config_.final_norm.weight_plus_one ? 0.0f : 1.0f;
  } else if (absl::EndsWith(name, "attention.out.weight") ||
             absl::EndsWith(name, "down.weight")) {
    deviation /= std::sqrt(2.0f * static_cast<float>(config_.num_layers()));
  }
  // A uniform distribution on [-a, a] has the deviation a / sqrt(3); 32 bits
  // make one value.
  const float scale = deviation * std::sqrt(3.0f) / 2147483648.0f;
  uint64_t state =
      Mix(seed_ ^ Mix(HashName(name) ^ Mix(static_cast<uint64_t>(row))));
  for (size_t i = 0; i < values.size(); i += 2) {
    const uint64_t bits = Mix(state++);
    values[i] = center + scale * static_cast<float>(static_cast<int32_t>(bits));
    if (i + 1 < values.size()) {
      values[i + 1] =
          center + scale * static_cast<float>(static_cast<int32_t>(bits >> 32));
    }
  }
}

}  // namespace moe
