#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/loading/engine_info.h"
#include "engine/loading/load_engine_options.h"
#include "engine/loading/load_progress.h"
#include "engine/runtime/engine.h"

namespace moe {

class RankRuntime;

struct LoadedEngine {
  std::unique_ptr<Engine> engine;  // running
  EngineInfo info;
};

// Opens the checkpoint, packs its weights, creates the KV cache and starts the
// engine. Returns the errors of OpenCheckpoint and LoadModel; kInvalidArgument
// that names an option; kResourceExhausted if memory is short.
absl::StatusOr<LoadedEngine> LoadEngine(const LoadEngineOptions& options,
                                        const LoadProgress& progress = {});

// The same on rank 0 of `ranks`, after RankRuntime::Start, for a model that is
// partitioned over all ranks; the other ranks must call RunWorker with equal
// options. If any rank fails, all return its error, which names it. Destroy the
// engine before the runtime; its destructor ends the workers.
absl::StatusOr<LoadedEngine> LoadEngine(const LoadEngineOptions& options,
                                        RankRuntime& ranks,
                                        const LoadProgress& progress = {});

// The same on the other ranks: loads this rank's part of the model and computes
// its part of each step. Returns OK when rank 0's engine is destroyed, else the
// failure that ended the job. Every wait is bounded.
absl::Status RunWorker(const LoadEngineOptions& options, RankRuntime& ranks,
                       const LoadProgress& progress = {});

}  // namespace moe
