#pragma once

#include <cstdint>

#include "engine/config/model_config.h"

namespace moe {

// Number of parameters of the model, and of those that one token uses.
struct ParameterCount {
  int64_t total = 0;
  int64_t active = 0;
};
// `config` must be valid.
ParameterCount CountParameters(const ModelConfig& config);

// The total as a double, for configurations whose total may overflow 64 bits.
double EstimateParameters(const ModelConfig& config);

}  // namespace moe
