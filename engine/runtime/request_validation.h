#pragma once

#include "absl/status/status.h"
#include "engine/config/model_config.h"
#include "engine/runtime/engine.h"

namespace moe {

// Checks what can be checked without the KV cache: kInvalidArgument naming the
// field, its value and its range.
absl::Status ValidateRequest(const Request& request, const ModelConfig& model);

// kInvalidArgument naming the option.
absl::Status ValidateEngineOptions(const EngineOptions& options,
                                   const ModelConfig& model);

}  // namespace moe
