#include "engine/loading/progress_reporter.h"

#include <utility>

namespace moe {

ProgressReporter::ProgressReporter(RankRuntime* ranks, const LoadedRank& rank)
    : ranks_(*ranks),
      model_(*rank.model),
      groups_(rank.groups == nullptr ? nullptr : rank.groups->groups()) {
  progress_.state = RankState::kIdle;
  progress_.weight_bytes = rank.info.weight_bytes;
  progress_.kv_cache_bytes = rank.info.kv_cache_bytes;
  progress_.num_threads = rank.info.num_threads;
  progress_.isa = rank.info.isa;
  ReportWithLoad();
}

void ProgressReporter::OnStep(bool in_step, int64_t step_id) {
  if (in_step) {
    progress_.state = RankState::kInStep;
    ranks_.ReportProgress(progress_);
  } else {
    progress_.state = RankState::kIdle;
    progress_.last_step = step_id;
    const absl::Duration wait = ExchangeWait();
    progress_.last_step_wait = wait - progress_.exchange_wait;
    progress_.exchange_wait = wait;
    ReportWithLoad();
  }
}

// Copies the load after every step (a few microseconds for any model size), so
// that the report includes the last step before a pause.
void ProgressReporter::ReportWithLoad() {
  RankProgress progress = progress_;
  progress.expert_load = model_.expert_load();
  ranks_.ReportProgress(std::move(progress));
}

absl::Duration ProgressReporter::ExchangeWait() const {
  absl::Duration wait;
  if (groups_ == nullptr) return wait;
  for (const HostCommunicator* group : groups_->All()) {
    wait += group->counters().wait_time;
  }
  return wait;
}

}  // namespace moe
