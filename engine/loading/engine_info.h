#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/config/model_config.h"
#include "engine/config/parameter_count.h"
#include "engine/parallel/parallel_layout.h"
#include "kernels/core/dtype.h"

namespace moe {

// What one rank has loaded.
struct RankInfo {
  std::string host;
  int64_t read_bytes = 0;  // of the checkpoint
  int64_t weight_bytes = 0;
  int64_t step_bytes = 0;  // as in EngineInfo
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
  // Upper bound of the memory that a step needs besides, however its rows
  // choose experts. An automatic cache leaves it free.
  int64_t step_bytes = 0;
  DType weight_dtype = DType::kBf16;
  int num_threads = 0;
  // What limits the CPU time of this rank, in CPUs; infinity, "": nothing.
  double cpu_quota = std::numeric_limits<double>::infinity();
  std::string cpu_quota_file;
  std::string isa;  // "AVX2", "AVX3", ...: of the matrix kernels
  std::string checkpoint_description;
  std::vector<std::string> checkpoint_warnings;
  absl::Duration load_time;
  // The layout over the ranks. (Weights, cache and threads above are those of
  // this rank.)
  int tensor_degree = 1;
  int data_degree = 1;
  std::vector<MoeLayerDegrees> moe_layers;  // in order
  std::vector<std::string> layout_reasons;  // for operators, a sentence each
  // With several ranks, the costs by which the layout was chosen
  // (MachineCosts::ToText()), which of them were measured, and how long that
  // took.
  std::string costs;
  std::string costs_measured;
  absl::Duration costs_time;
  std::vector<RankInfo> ranks;  // all of them, by rank
};

}  // namespace moe
