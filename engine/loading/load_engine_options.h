#pragma once

#include <cstdint>
#include <string>

#include "engine/checkpoint/checkpoint_options.h"
#include "engine/loading/compute_device.h"
#include "engine/parallel/parallel_options.h"
#include "engine/runtime/engine.h"
#include "kernels/core/dtype.h"

namespace moe {

// What an engine is loaded from, and how. Of many ranks, equal on all of them.
struct LoadEngineOptions {
  std::string checkpoint_path;
  CheckpointOptions checkpoint;
  DType weight_dtype = DType::kBf16;  // kBf16, kF16 or kF32
  // Of each rank; 0: one per CPU that the process may use, of which ranks of
  // one machine that may use the same ones have equal parts.
  int num_threads = 0;
  bool pin_threads = false;
  ComputeDevice device = CpuDevice();  // where the model computes
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

}  // namespace moe
