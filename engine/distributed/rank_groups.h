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

// The groups that one rank's engine communicates in, owned; all of them are
// given up when the job fails. Thread-compatible, except Abort.
class RankGroups {
 public:
  // Collective. `ranks` is borrowed and must outlive it.
  static absl::StatusOr<std::unique_ptr<RankGroups>> Create(
      RankRuntime* ranks, const ParallelOptions& options);

  RankRuntime& ranks() { return ranks_; }

  // Of all ranks. For what is agreed on while loading, with start_timeout.
  HostCommunicator& start() { return *start_; }
  // For the loading of weights, which gives it up if it fails.
  HostCommunicator& loading() { return *loading_; }
  // Null before OpenLayout.
  ProcessGroups* groups() { return groups_.get(); }

  // Makes the groups of a layout. Collective.
  absl::Status OpenLayout(const ParallelLayout& layout, DeviceBackend& backend);
  // The start group has done its work, and `loading`.
  void EndLoading();

  // The link for the steps, borrowed from this; `on_step` is left to the
  // caller.
  StepLink MakeStepLink(int tensor_degree, const std::string& host);

  // Any thread.
  void Abort(const absl::Status& reason);

  // What a failed collective means: the job's own word if it says one soon,
  // else `error`.
  absl::Status Explain(const absl::Status& error) const;

 private:
  explicit RankGroups(RankRuntime* ranks) : ranks_(*ranks) {}

  RankRuntime& ranks_;
  absl::Duration step_timeout_;
  std::mutex mutex_;
  absl::Status failure_;  // guarded by mutex_; what Abort was called with
  // Made and destroyed under mutex_ (Abort reads them), used without.
  std::unique_ptr<HostCommunicator> start_;
  std::unique_ptr<HostCommunicator> loading_;
  std::unique_ptr<HostCommunicator> plans_;
  std::unique_ptr<HostCommunicator> world_;  // until it is groups_'
  std::unique_ptr<ProcessGroups> groups_;
  // Last, so that it ends first.
  std::unique_ptr<RankRuntime::Subscription> subscription_;
};

}  // namespace moe
