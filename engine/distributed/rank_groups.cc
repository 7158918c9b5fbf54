#include "engine/distributed/rank_groups.h"

#include <algorithm>
#include <utility>

#include "absl/time/clock.h"
#include "comm/deadline.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<std::unique_ptr<RankGroups>> RankGroups::Create(
    RankRuntime* ranks, const ParallelOptions& options) {
  // Not make_unique: the constructor is private.
  std::unique_ptr<RankGroups> groups(new RankGroups(ranks));
  CommunicatorOptions start, step;
  start.timeout = options.start_timeout;
  step.timeout = options.step_timeout;
  ASSIGN_OR_RETURN(groups->start_, ranks->MakeGroup("start", start));
  ASSIGN_OR_RETURN(groups->loading_, ranks->MakeGroup("loading", start));
  ASSIGN_OR_RETURN(groups->plans_, ranks->MakeGroup("plans", step));
  ASSIGN_OR_RETURN(groups->world_, ranks->MakeGroup("world", step));
  groups->step_timeout_ = options.step_timeout;
  groups->subscription_ =
      ranks->OnFailure([groups = groups.get()](const absl::Status& reason) {
        groups->Abort(reason);
      });
  return groups;
}

absl::Status RankGroups::OpenLayout(const ParallelLayout& layout,
                                    DeviceBackend& backend) {
  std::unique_ptr<HostCommunicator> world;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    RETURN_IF_ERROR(failure_);
    world = std::move(world_);
  }
  // An abort during this call does not reach these groups; their timeout bounds
  // the wait.
  ASSIGN_OR_RETURN(std::unique_ptr<ProcessGroups> groups,
                   ProcessGroups::Create(std::move(world), ranks_.topology(),
                                         layout, backend));
  const std::lock_guard<std::mutex> lock(mutex_);
  groups_ = std::move(groups);
  if (!failure_.ok()) groups_->Abort(failure_);
  return failure_;
}

void RankGroups::ReleaseLoadingGroups() {
  const std::lock_guard<std::mutex> lock(mutex_);
  loading_.reset();
  start_.reset();
}

StepLink RankGroups::MakeStepLink(int tensor_degree, const std::string& host) {
  StepLink link;
  link.plans = plans_.get();
  link.doorbell = &ranks_.doorbell();
  link.groups = groups_.get();
  link.tensor_degree = tensor_degree;
  link.host = host;
  link.always_ring = ranks_.topology().num_nodes() > 1;
  // A rank that has finished a step waits for the slowest rank.
  link.idle_timeout = std::max(link.idle_timeout, 2 * step_timeout_);
  link.job_status = [ranks = &ranks_] { return ranks->status(); };
  link.fail_job = [ranks = &ranks_](const absl::Status& reason) {
    if (ranks->status().ok()) ranks->Fail(reason);
  };
  return link;
}

void RankGroups::Abort(const absl::Status& reason) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (failure_.ok()) failure_ = reason;
  for (const auto* group : {&plans_, &start_, &loading_, &world_}) {
    if (*group != nullptr) (*group)->Abort(reason);
  }
  if (groups_ != nullptr) groups_->Abort(reason);
}

absl::Status RankGroups::FindRootCause(const absl::Status& error) const {
  const Deadline deadline(absl::Milliseconds(300));
  while (!deadline.Passed()) {
    RETURN_IF_ERROR(ranks_.status());
    absl::SleepFor(absl::Milliseconds(1));
  }
  return error;
}

}  // namespace moe
