#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/parallel_layout.h"
#include "engine/checkpoint/checkpoint_options.h"
#include "engine/config/model_config.h"
#include "engine/config/parameter_count.h"
#include "engine/parallel/parallel_options.h"
#include "engine/runtime/engine.h"
#include "kernels/core/dtype.h"

namespace moe {

class RankRuntime;

struct LoadEngineOptions {
  std::string checkpoint_path;
  CheckpointOptions checkpoint;
  DType weight_dtype = DType::kBf16;  // kBf16, kF16 or kF32
  // Of each rank; 0: one per CPU that the process may use, of which ranks of
  // one machine that may use the same ones have equal parts.
  int num_threads = 0;
  bool pin_threads = false;
  // Memory of each rank for keys and values. It counts where engine.num_blocks
  // is 0; if both are 0: kAutomaticKvFraction of the memory that is available
  // once all weights are in place, in equal parts for the ranks of a machine,
  // less what the rows of a step may take there (MaxStepBytes), and not more
  // than max_running_sequences full contexts.
  int64_t kv_cache_bytes = 0;
  EngineOptions engine;
  // How the model is laid over the ranks, if there are several.
  ParallelOptions parallel;
};

inline constexpr double kAutomaticKvFraction = 0.6;

// What one rank has loaded.
struct RankInfo {
  std::string host;
  int64_t read_bytes = 0;  // of the checkpoint
  int64_t weight_bytes = 0;
  int64_t step_bytes = 0;  // as EngineInfo has it
  int num_threads = 0;
  absl::Duration load_time;
};

// What was loaded, for logs and the GetServerInfo call.
struct EngineInfo {
  ModelConfig model;
  ParameterCount parameters;
  int64_t weight_bytes = 0;    // packed, as the steps read them
  int64_t kv_cache_bytes = 0;  // of all blocks
  int64_t num_blocks = 0;
  int64_t block_size = 0;
  bool kv_cache_automatic = false;
  // What the rows of a step may take beside them, however they choose experts;
  // kept free of an automatic cache.
  int64_t step_bytes = 0;
  DType weight_dtype = DType::kBf16;
  int num_threads = 0;
  std::string isa;  // "AVX2", "AVX3", ...: what the matrix kernels chose
  std::string checkpoint_description;
  std::vector<std::string> checkpoint_warnings;
  absl::Duration load_time;
  // The layout over the ranks; weights, cache and threads are of this rank.
  int tensor_degree = 1;
  int data_degree = 1;
  std::vector<MoeLayerDegrees> moe_layers;  // in order
  std::vector<std::string> layout_reasons;  // for operators, a sentence each
  // What the layout was chosen by, of several ranks: MachineCosts::ToText(),
  // what of it was measured, and in which time.
  std::string costs;
  std::string costs_measured;
  absl::Duration costs_time;
  std::vector<RankInfo> ranks;  // all of them, by rank
};

struct LoadedEngine {
  std::unique_ptr<Engine> engine;  // running
  EngineInfo info;
};

// Called while weights are packed, on the thread that loads.
using LoadProgress =
    std::function<void(int64_t done_bytes, int64_t total_bytes)>;

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
