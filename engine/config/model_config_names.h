#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "engine/config/model_config.h"

namespace moe {

// Names for logs and the API: "gelu_tanh", "gelu_erf", "squared_relu",
// "swiglu".
const char* ActivationName(ActivationKind kind);

// "none", "a", "b1", "b2".
const char* ResidualMoeName(ResidualMoeKind kind);

// A number of each layer as text: "16" if all are equal, else "16,16,8,8".
std::string PerLayerText(const ModelConfig& config,
                         absl::FunctionRef<int64_t(const LayerConfig&)> number);

}  // namespace moe
