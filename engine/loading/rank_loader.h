#pragma once

#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "engine/batch/step_plan_codec.h"
#include "engine/cache/kv_cache.h"
#include "engine/config/index_range.h"
#include "engine/distributed/rank_groups.h"
#include "engine/distributed/rank_runtime.h"
#include "engine/distributed/step_link.h"
#include "engine/loading/engine_info.h"
#include "engine/loading/load_engine_options.h"
#include "engine/loading/load_progress.h"
#include "engine/models/model.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// All that a rank needs to take part in steps. Destroyed from the last to the
// first.
struct LoadedRank {
  // Shared with the engine, which is made of the rest. Null if the rank is
  // alone.
  std::shared_ptr<RankGroups> groups;
  std::unique_ptr<ThreadPool> threads;
  std::unique_ptr<Stream> stream;
  std::unique_ptr<Model> model;
  std::optional<KvCache> cache;
  IndexRange vocab;      // whose logits the model computes
  EngineOptions engine;  // with the number of blocks that all ranks have
  EngineInfo info;
  StepLink link;  // if there are groups
};

// Loads this rank's part of the model, after all ranks have agreed on how it is
// laid over them, and makes its KV cache. Collective. If any rank cannot, all
// get the same error, which names that rank.
absl::StatusOr<LoadedRank> LoadRank(const LoadEngineOptions& options,
                                    RankRuntime* ranks,
                                    const LoadProgress& progress);

// What every plan for this rank keeps to.
StepPlanLimits PlanLimits(const LoadedRank& rank);

}  // namespace moe
