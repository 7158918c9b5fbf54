#pragma once

#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "engine/distributed/rank_runtime.h"
#include "engine/loading/rank_loader.h"

namespace moe {

// Reports this rank's progress to the runtime before and after each step.
// Thread-compatible.
class ProgressReporter {
 public:
  // Borrows `ranks`, and the model and groups of `rank`.
  ProgressReporter(RankRuntime* ranks, const LoadedRank& rank);

  // Before (in_step) and after each step.
  void OnStep(bool in_step, int64_t step_id);

 private:
  absl::Duration ExchangeWait() const;
  void ReportWithLoad();

  RankRuntime& ranks_;
  const Model& model_;
  ProcessGroups* groups_;  // null: one rank
  RankProgress progress_;  // without expert_load
};

}  // namespace moe
