#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/config/model_config.h"
#include "engine/runtime/engine.h"

namespace moe {

// Checks what can be checked without the KV cache: kInvalidArgument naming the
// field, its value and its range. `eos_token_ids` end an answer like its stop
// ids.
absl::Status ValidateRequest(const Request& request, const ModelConfig& model,
                             absl::Span<const int32_t> eos_token_ids = {});

// kInvalidArgument naming the option.
absl::Status ValidateEngineOptions(const EngineOptions& options,
                                   const ModelConfig& model);

}  // namespace moe
