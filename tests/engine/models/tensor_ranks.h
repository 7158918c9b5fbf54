#pragma once

#include <functional>
#include <vector>

#include "engine/config/model_config.h"
#include "engine/config/uniform_model_config.h"
#include "engine/models/model_options.h"
#include "engine/parallel/parallel_layout.h"

namespace moe {

// A tensor group alone, all experts on each of its ranks.
ParallelLayout TensorLayout(const ModelConfig& config, int degree);

// Calls `body` on each rank of `layout`, a thread of the test, with the shard
// and the groups of the rank.
void RunRanks(const ModelConfig& config, const ParallelLayout& layout,
              const std::function<void(const ModelParallel&)>& body);

// Small, without experts.
UniformModelConfig SmallDenseConfig();

// The largest |value|.
float Largest(const std::vector<float>& values);

}  // namespace moe
