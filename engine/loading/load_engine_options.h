#pragma once

#include <cstdint>
#include <string>

#include "engine/checkpoint/checkpoint_options.h"
#include "engine/loading/compute_device.h"
#include "engine/parallel/parallel_options.h"
#include "engine/runtime/engine.h"
#include "kernels/core/dtype.h"

namespace moe {

// The checkpoint of an engine and how to load it. Equal on all ranks.
struct LoadEngineOptions {
  std::string checkpoint_path;
  CheckpointOptions checkpoint;
  DType weight_dtype = DType::kBf16;  // kBf16, kF16 or kF32
  // Compute threads of each rank. 0: one for each CPU that the process may use;
  // ranks of a machine that may use the same CPUs get equal parts of them.
  int num_threads = 0;
  bool pin_threads = false;
  ComputeDevice device = CpuDevice();  // where the model computes
  // KV cache of each rank, if engine.num_blocks is 0. If both are 0:
  // kAutomaticKvFraction of the memory that is available after loading, divided
  // equally among the ranks of a machine, less MaxStepBytes, and at most
  // max_running_sequences full contexts.
  int64_t kv_cache_bytes = 0;
  EngineOptions engine;
  // How the model is partitioned over several ranks.
  ParallelOptions parallel;
};

inline constexpr double kAutomaticKvFraction = 0.6;

}  // namespace moe
