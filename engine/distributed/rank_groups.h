#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/host_communicator.h"
#include "engine/distributed/rank_runtime.h"
#include "engine/distributed/step_link.h"
#include "engine/parallel/parallel_layout.h"
#include "engine/parallel/parallel_options.h"
#include "engine/parallel/process_groups.h"
#include "kernels/core/device_backend.h"

namespace moe {

// Owns the groups in which one rank's engine communicates, and aborts all of
// them when the job fails. Thread-compatible, except Abort.
class RankGroups {
 public:
  // Collective. `ranks` is borrowed and must outlive it.
  static absl::StatusOr<std::unique_ptr<RankGroups>> Create(
      RankRuntime* ranks, const ParallelOptions& options);

  RankRuntime& ranks() { return ranks_; }

  // All ranks, with start_timeout: for the agreements while loading.
  HostCommunicator& start() { return *start_; }
  // For loading weights; a rank that fails to load aborts it.
  HostCommunicator& loading() { return *loading_; }
  // Null before OpenLayout.
  ProcessGroups* groups() { return groups_.get(); }

  // Makes the groups of a layout. Collective.
  absl::Status OpenLayout(const ParallelLayout& layout, DeviceBackend& backend);
  // Destroys the start and loading groups.
  void ReleaseLoadingGroups();

  // The link for the steps, borrowed from this; `on_step` is left to the
  // caller.
  StepLink MakeStepLink(int tensor_degree, const std::string& host);

  // Any thread.
  void Abort(const absl::Status& reason);

  // The cause of a failed collective: the job's failure if it is reported soon,
  // else `error`.
  absl::Status FindRootCause(const absl::Status& error) const;

 private:
  explicit RankGroups(RankRuntime* ranks) : ranks_(*ranks) {}

  RankRuntime& ranks_;
  absl::Duration step_timeout_;
  std::mutex mutex_;
  absl::Status failure_;  // guarded by mutex_; what Abort was called with
  // Created and destroyed under mutex_ (Abort reads them), used without it.
  std::unique_ptr<HostCommunicator> start_;
  std::unique_ptr<HostCommunicator> loading_;
  std::unique_ptr<HostCommunicator> plans_;
  std::unique_ptr<HostCommunicator>
      world_;  // until OpenLayout moves it to groups_
  std::unique_ptr<ProcessGroups> groups_;
  // Last, so that it is destroyed first.
  std::unique_ptr<RankRuntime::Subscription> subscription_;
};

}  // namespace moe
