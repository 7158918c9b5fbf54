#pragma once

#include <cstdint>
#include <string>

#include "absl/types/span.h"
#include "engine/config/model_config.h"

namespace moe {

// Weights of an untrained model; a row depends only on (seed, name, row):
// uniform with standard deviation 0.02, less where a layer writes to the
// residual stream; norms near one. About 1 ns a value. Thread-safe.
class RandomWeights {
 public:
  // The configuration is borrowed.
  RandomWeights(const ModelConfig& config, uint64_t seed)
      : config_(config), seed_(seed) {}

  void FillRow(const std::string& name, int64_t row,
               absl::Span<float> values) const;

 private:
  const ModelConfig& config_;
  const uint64_t seed_;
};

}  // namespace moe
