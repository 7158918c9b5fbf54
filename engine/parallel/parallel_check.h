#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/config/model_config.h"
#include "engine/parallel/parallel_options.h"

namespace moe {

// Whether `options` fit `world_size` ranks, found out without them: what
// PlanParallel would refuse at the start, memory aside.
// `num_nodes`: machines that the ranks will be on, evenly; 0: any number.
// kInvalidArgument with layer and numbers. Otherwise what the machines may
// still be against, a sentence; empty: nothing. Pure; thread-safe.
absl::StatusOr<std::string> CheckParallel(const ModelConfig& config,
                                          const ParallelOptions& options,
                                          int world_size, int num_nodes);

}  // namespace moe
