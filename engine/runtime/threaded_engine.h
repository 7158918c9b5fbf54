#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "engine/runtime/engine.h"
#include "engine/runtime/engine_parts.h"

namespace moe {

// An engine that runs on a thread of its own. kInvalidArgument naming an
// option; kResourceExhausted if the memory is not there.
absl::StatusOr<std::unique_ptr<Engine>> CreateEngine(
    EngineParts parts, const EngineOptions& options);

}  // namespace moe
