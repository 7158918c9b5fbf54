#pragma once

#include "absl/status/status.h"
#include "engine/config/model_config.h"

namespace moe {

// kInvalidArgument naming the field, if the numbers of a configuration do not
// fit together or are beyond those of any model.
absl::Status ValidateModelConfig(const ModelConfig& config);

// Its check of the number of layers alone, before anything is made for each.
absl::Status ValidateNumLayers(int64_t num_layers);

}  // namespace moe
