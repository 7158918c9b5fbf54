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

// Opens the checkpoint, packs its weights, makes the KV cache and starts the
// engine. The errors of OpenCheckpoint and LoadModel; kInvalidArgument naming
// an option; kResourceExhausted where memory is short.
absl::StatusOr<LoadedEngine> LoadEngine(const LoadEngineOptions& options,
                                        const LoadProgress& progress = {});

// Rank 0 of `ranks`, which has been started: the same, of a model that is laid
// over all ranks; the others must be in FollowRank with equal options. If any
// rank fails, all get its error, which names it. The engine must be destroyed
// before the runtime; then the other ranks are told to end.
absl::StatusOr<LoadedEngine> LoadEngine(const LoadEngineOptions& options,
                                        RankRuntime& ranks,
                                        const LoadProgress& progress = {});

// The other ranks: loads this rank's part of the model and computes its share
// of the steps until rank 0's engine is destroyed: OK. Otherwise why the job
// has come to an end; every wait is bounded.
absl::Status FollowRank(const LoadEngineOptions& options, RankRuntime& ranks,
                        const LoadProgress& progress = {});

}  // namespace moe
