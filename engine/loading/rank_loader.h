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

// What a rank needs to run steps. Members are destroyed from the last to the
// first.
struct LoadedRank {
  // Shared with the engine that is made of the other members. Null if there is
  // one rank.
  std::shared_ptr<RankGroups> groups;
  std::unique_ptr<ThreadPool> threads;
  std::unique_ptr<Stream> stream;
  std::unique_ptr<Model> model;
  std::optional<KvCache> cache;
  IndexRange vocab;      // entries whose logits the model computes
  EngineOptions engine;  // num_blocks is that of all ranks
  EngineInfo info;
  StepLink link;  // set if there are groups
};

// Agrees with all ranks on the layout of the model, loads this rank's part and
// creates its KV cache. Collective. If any rank fails, all return the same
// error, which names that rank. `ranks` may be null: one rank.
absl::StatusOr<LoadedRank> LoadRank(const LoadEngineOptions& options,
                                    RankRuntime* ranks,
                                    const LoadProgress& progress);

// The limits of every plan for this rank.
StepPlanLimits PlanLimits(const LoadedRank& rank);

}  // namespace moe
