#pragma once

#include "engine/config/model_config.h"

namespace moe {

// For people, logs and the API: "gelu_tanh", "gelu_erf", "squared_relu",
// "swiglu".
const char* ActivationName(ActivationKind kind);

// "none", "a", "b1", "b2".
const char* ResidualMoeName(ResidualMoeKind kind);

}  // namespace moe
