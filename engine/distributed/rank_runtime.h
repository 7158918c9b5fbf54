#pragma once

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

// The ranks of this job, as engine and server see them: a World, and beside it
// a control link (comm/control/control_link.h) by which they learn within
// milliseconds that one has died, which MPI cannot tell. One per process
// (MakeThreads is for tests), made first in main, destroyed last. Puts the
// parts together that do the work: Bootstrap, FailureBroadcast, ExitPolicy,
// RankProgressBoard.
//
// Any failure is final: the first one is told to all ranks, the listeners are
// called (let them abort the groups that they have made), and the process ends
// within ExitPolicy::kExitTimeout, whatever hangs.
//
// Thread-safe where it says so; the rest belongs to one thread.
class RankRuntime {
 public:
  // Collective over the processes that mpirun started. A process that it did
  // not start is a world of one, and MPI is left alone. If the ranks have not
  // found each other (Start has not returned) within `connect_timeout`, the
  // process ends with _exit(1) and a word on standard error: MPI's own start
  // waits for ever for a peer that does not come.
  static absl::StatusOr<std::unique_ptr<RankRuntime>> Init(
      int* argc, char*** argv,
      absl::Duration connect_timeout = absl::Minutes(1));
  // `size` ranks that are threads of this process; element r is for rank r.
  // They have started, and never end the process. For tests.
  static absl::StatusOr<std::vector<std::unique_ptr<RankRuntime>>> MakeThreads(
      int size, const Topology& topology,
      const CommunicatorOptions& options = {});
  ~RankRuntime();
  RankRuntime(const RankRuntime&) = delete;
  RankRuntime& operator=(const RankRuntime&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  // Collective, once, before all that follows. Compares the facts of all ranks
  // (Bootstrap) and connects them; an error instead of facts is why this rank
  // cannot go on. The same error on every rank.
  absl::Status Start(const absl::StatusOr<BootstrapInfo>& facts);

  const Topology& topology() const { return topology_; }
  IdleDoorbell& doorbell() { return *doorbell_; }
  // A new group of all ranks, to be destroyed before the runtime. Collective.
  // (Ranks that are threads have the options given to MakeThreads.)
  absl::StatusOr<std::unique_ptr<HostCommunicator>> MakeGroup(
      const std::string& name, const CommunicatorOptions& options = {}) {
    return world_->MakeGroup(name, options);
  }

  // As FailureBroadcast::Subscribe: the reason is kUnavailable and names rank
  // and host of any rank that fails. Thread-safe.
  using Subscription = FailureBroadcast::Subscription;
  [[nodiscard]] std::unique_ptr<Subscription> OnFailure(
      FailureBroadcast::Listener listener) {
    return failure_.Subscribe(std::move(listener));
  }
  // This rank fails: tells all ranks why. Idempotent; thread-safe; does not
  // wait. A failure that is only the echo of another rank's is better not
  // reported: look at status() first. What all ranks have agreed on (IsAgreed)
  // is told as it is; anything else with this rank's name.
  void Fail(const absl::Status& reason);
  // OK, or why the job fails. Thread-safe.
  absl::Status status() const;

  // As ExitPolicy has them. Thread-safe.
  void MarkReady() { exit_policy_.MarkReady(); }
  int failure_exit_status() const { return exit_policy_.failure_exit_status(); }
  void WaitForRank0Exit() { exit_policy_.WaitForRank0Exit(); }
  // For who ends because of `reason`, before Fail: true if all ranks have
  // agreed on it (IsAgreed) and have come here, too, so that each has said why
  // and none need be told. Collective if they have agreed, bounded by
  // ExitPolicy::kNotifyTimeout. What follows can only be the process's end.
  bool ExitTogether(const absl::Status& reason);

  // It goes to rank 0 with the next heartbeat. Thread-safe.
  void ReportProgress(RankProgress progress) {
    progress_.Report(std::move(progress));
  }
  // All ranks on rank 0; elsewhere this rank alone. Thread-safe.
  std::vector<RankStatus> Ranks() const;

  // Collective: the ranks part in order, after which a peer's end is no
  // failure. Bounded by `timeout`. Groups, doorbell users and subscriptions
  // must be gone before.
  absl::Status Finish(absl::Duration timeout = absl::Seconds(10));

 private:
  RankRuntime(std::unique_ptr<World> world,
              std::unique_ptr<ExitWatchdog> watchdog,
              absl::Duration connect_timeout);
  // Start, without the watchdog over it.
  absl::Status Connect(const absl::StatusOr<BootstrapInfo>& facts);
  absl::Status OpenLink(absl::Duration watchdog);
  // The failure is known: tells all who listen, and sees to the end.
  void OnJobFailure(const absl::Status& reason);

  const std::string host_;
  const absl::Duration connect_timeout_;
  std::unique_ptr<World> world_;
  const int rank_;
  const int size_;
  FailureBroadcast failure_;
  ExitPolicy exit_policy_;
  RankProgressBoard progress_;
  std::unique_ptr<ExitWatchdog> starting_;  // until Start has returned
  Topology topology_ = Topology::OneNode(1);
  std::unique_ptr<ControlLink> link_;  // null: this rank is alone
  std::unique_ptr<IdleDoorbell> doorbell_;
};

}  // namespace moe
