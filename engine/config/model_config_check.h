#pragma once

#include "absl/status/status.h"
#include "engine/config/model_config.h"

namespace moe {

// kInvalidArgument that names the field if the numbers of a configuration are
// inconsistent or far larger than those of any model.
absl::Status ValidateModelConfig(const ModelConfig& config);

// Checks the number of layers only, before memory is allocated for each layer.
absl::Status ValidateNumLayers(int64_t num_layers);

}  // namespace moe
