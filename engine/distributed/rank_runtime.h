#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/host_communicator.h"
#include "comm/idle_doorbell.h"
#include "comm/topology.h"
#include "comm/world.h"
#include "engine/distributed/bootstrap_info.h"
#include "engine/distributed/exit_policy.h"
#include "engine/distributed/failure_broadcast.h"
#include "engine/distributed/rank_progress_board.h"

namespace moe {

// The interface of engine and server to the ranks of this job: a World, and a
// control link (comm/control/control_link.h) that detects within milliseconds
// that a rank has died, which MPI does not report. One per process (MakeThreads
// is for tests), created first in main, destroyed last. Combines Bootstrap,
// FailureBroadcast, ExitPolicy and RankProgressBoard.
//
// Any failure is final: the first one is sent to all ranks, the listeners are
// called (each aborts the groups that it owns), and the process exits within
// ExitPolicy::kExitTimeout, whatever hangs.
//
// Thread-safe where it says so; one thread calls the rest.
class RankRuntime {
 public:
  // Called when the process is about to end because it cannot start; must not
  // block. Any thread.
  using StartFailureReport = std::function<void(const absl::Status&)>;

  // Collective over the processes that mpirun started. A process that it did
  // not start, or started alone, is a world of one and does not initialize MPI.
  // If Start has not returned within `connect_timeout`, the process calls
  // `on_failure` and _exit(1): MPI_Init has no timeout for a missing peer. It
  // calls it too if MPI ends the process. Empty: it writes to standard error.
  static absl::StatusOr<std::unique_ptr<RankRuntime>> Init(
      int* argc, char*** argv,
      absl::Duration connect_timeout = absl::Minutes(1),
      const StartFailureReport& on_failure = nullptr);
  // `size` ranks that are threads of this process; element r is rank r. Start
  // has been called, and failures do not end the process. For tests.
  static absl::StatusOr<std::vector<std::unique_ptr<RankRuntime>>> MakeThreads(
      int size, const Topology& topology,
      const CommunicatorOptions& options = {});
  ~RankRuntime();
  RankRuntime(const RankRuntime&) = delete;
  RankRuntime& operator=(const RankRuntime&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Collective; call it once, before the functions below. Compares the
  // BootstrapInfo of all ranks (Bootstrap) and connects them. `info` may be an
  // error, with which this rank cannot start. Returns the same error on every
  // rank.
  absl::Status Start(const absl::StatusOr<BootstrapInfo>& info);

  const Topology& topology() const { return topology_; }
  IdleDoorbell& doorbell() { return *doorbell_; }
  // A new group of all ranks; destroy it before the runtime. Collective. (Ranks
  // that are threads use the options of MakeThreads.)
  absl::StatusOr<std::unique_ptr<HostCommunicator>> MakeGroup(
      const std::string& name, const CommunicatorOptions& options = {}) {
    return world_->MakeGroup(name, options);
  }

  // See FailureBroadcast::Subscribe. The reason is kUnavailable and names the
  // rank that failed and its host. Thread-safe.
  using Subscription = FailureBroadcast::Subscription;
  [[nodiscard]] std::unique_ptr<Subscription> OnFailure(
      FailureBroadcast::Listener listener) {
    return failure_.Subscribe(std::move(listener));
  }
  // Reports to all ranks that this rank has failed. Idempotent; thread-safe;
  // does not wait. Check status() first, so that a consequence of another
  // rank's failure is not reported. An agreed error (IsAgreed) is sent
  // unchanged; any other gets this rank's name.
  void Fail(const absl::Status& reason);
  // OK, or the failure of the job. Thread-safe.
  absl::Status status() const;

  // See ExitPolicy. Thread-safe.
  void MarkReady() { exit_policy_.MarkReady(); }
  int failure_exit_status() const { return exit_policy_.failure_exit_status(); }
  void WaitForRank0Exit() { exit_policy_.WaitForRank0Exit(); }
  // Call it before Fail when `reason` ends this rank: true if all ranks have
  // agreed on `reason` (IsAgreed) and call this too, so that each has logged it
  // and none must be notified. Collective if they have agreed, bounded by
  // ExitPolicy::kNotifyTimeout. The process must exit afterwards.
  bool ExitTogether(const absl::Status& reason);

  // The next heartbeat carries it to rank 0. Thread-safe.
  void ReportProgress(RankProgress progress) {
    progress_.Report(std::move(progress));
  }
  // All ranks on rank 0; elsewhere this rank alone. Thread-safe.
  std::vector<RankStatus> Ranks() const;

  // Collective orderly shutdown: afterwards the end of a peer is no failure.
  // Bounded by `timeout`. Destroy groups, doorbell users and subscriptions
  // before.
  absl::Status Finish(absl::Duration timeout = absl::Seconds(10));

 private:
  RankRuntime(std::unique_ptr<World> world,
              std::unique_ptr<ExitWatchdog> watchdog,
              absl::Duration connect_timeout);
  // Start without its watchdog.
  absl::Status Connect(const absl::StatusOr<BootstrapInfo>& info);
  absl::Status OpenLink(absl::Duration watchdog);
  // Handles the first failure: calls the listeners, and arms the exit watchdog.
  void OnJobFailure(const absl::Status& reason);

  const std::string host_;
  const absl::Duration connect_timeout_;
  std::unique_ptr<World> world_;
  const int rank_;
  const int size_;
  FailureBroadcast failure_;
  ExitPolicy exit_policy_;
  RankProgressBoard progress_;
  std::unique_ptr<ExitWatchdog> start_watchdog_;  // until Start has returned
  Topology topology_ = Topology::OneNode(1);
  std::unique_ptr<ControlLink> link_;  // null: one rank
  std::unique_ptr<IdleDoorbell> doorbell_;
};

}  // namespace moe
