#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "engine/runtime/engine.h"
#include "engine/runtime/engine_parts.h"

namespace moe {

// Creates an engine that runs on its own thread. kInvalidArgument that names an
// option; kResourceExhausted if memory is short.
absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(
    EngineParts parts, const EngineOptions& options);

}  // namespace moe
