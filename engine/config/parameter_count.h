#pragma once

#include <cstdint>

#include "engine/config/model_config.h"

namespace moe {

// Weights of the whole model, and of those that one token passes through.
struct ParameterCount {
  int64_t total = 0;
  int64_t active = 0;
};
// `config` must be valid.
ParameterCount CountParameters(const ModelConfig& config);

// The total, for sizes whose products may be beyond 64 bits.
double EstimateParameters(const ModelConfig& config);

}  // namespace moe
