#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/communicator.h"
#include "comm/idle_doorbell.h"
#include "comm/topology.h"
#include "engine/distributed/bootstrap_info.h"
#include "engine/distributed/rank_progress.h"

namespace moe {

// What the runtime knows of a rank.
struct RankStatus {
  int rank = 0;
  std::string host;
  int64_t pid = 0;
  RankProgress progress;
  absl::Duration heartbeat_age;  // since it was last heard of; 0 for the caller
};

// The ranks of this job, as engine and server see them: MPI, and beside it a
// control link (comm/control/control_link.h) by which they learn within milliseconds
// that one has died, which MPI cannot tell. One per process (MakeThreads is for
// tests), made first in main, destroyed last.
//
// Any failure is final: the first one is told to all ranks, the listeners are
// called (let them abort the groups that they have made), and the process is
// ended by _exit(failure_exit_status()) if it is still there after kEndWithin,
// whatever hangs.
//
// Thread-safe where it says so; the rest belongs to one thread.
class RankRuntime {
 public:
  // What processes end with when a rank fails: before MarkReady, and after.
  static constexpr int kExitStartFailed = 1;
  static constexpr int kExitRankFailed = 3;
  static constexpr absl::Duration kEndWithin = absl::Seconds(5);
  // What rank 0 may take to tell clients of a failure, and ranks at their end
  // wait for each other.
  static constexpr absl::Duration kNotifyTimeout = absl::Milliseconds(1500);

  // Collective over the processes that mpirun started. A process that it did
  // not start is a world of one, and MPI is left alone. If the ranks have not
  // found each other (Start has not returned) within `connect_timeout`, the
  // process ends with _exit(1) and a word on standard error: MPI's own start
  // waits for ever for a peer that does not come.
  static absl::StatusOr<std::unique_ptr<RankRuntime>> Init(
      int* argc, char*** argv,
      absl::Duration connect_timeout = absl::Minutes(1));
  // `size` ranks that are threads of this process; element r is for rank r.
  // They never end the process. For tests.
  static absl::StatusOr<std::vector<std::unique_ptr<RankRuntime>>> MakeThreads(
      int size, const Topology& topology,
      const CommunicatorOptions& options = {});
  ~RankRuntime();
  RankRuntime(const RankRuntime&) = delete;
  RankRuntime& operator=(const RankRuntime&) = delete;

  int rank() const;
  int size() const;

  // Collective, once, before all that follows (MakeThreads has done it).
  // Compares the facts of all ranks; an error instead of facts is why this rank
  // cannot go on. The first problem found comes back on every rank, with the
  // ranks' numbers and hosts.
  absl::Status Start(const absl::StatusOr<BootstrapInfo>& facts);

  const Topology& topology() const;
  IdleDoorbell& doorbell();
  // A new group of all ranks, to be destroyed before the runtime. Collective.
  // (Ranks that are threads have the options given to MakeThreads.)
  absl::StatusOr<std::unique_ptr<Communicator>> MakeGroup(
      const std::string& name, const CommunicatorOptions& options = {});

  // Calls `listener` with the reason (kUnavailable, naming rank and host) once,
  // when any rank fails, on a thread of its own; at once, on this one, if one
  // has failed. It must not destroy the subscription. After the
  // subscription's end it is not called, nor running. Thread-safe.
  class Subscription {
   public:
    virtual ~Subscription() = default;
  };
  [[nodiscard]] std::unique_ptr<Subscription> OnFailure(
      std::function<void(const absl::Status& reason)> listener);

  // This rank gives up: tells all ranks why. Idempotent; thread-safe; does not
  // wait. A failure that is only the echo of another rank's is better not
  // reported: look at status() first. What all ranks have agreed on (IsAgreed)
  // is told as it is; anything else with this rank's name.
  void Fail(const absl::Status& reason);
  // OK, or why the job fails. Thread-safe.
  absl::Status status() const;

  // For who ends because of `reason`, before Fail: true if all ranks have
  // agreed on it (IsAgreed) and have come here, too, so that each has said why
  // and none need be told. Collective if they have agreed, bounded by
  // kNotifyTimeout. What follows can only be the end of the process.
  bool ExitTogether(const absl::Status& reason);

  // Rank 0: all is loaded and clients are served; the other ranks are told.
  // What fails from now on is a rank in service, not the start. Thread-safe.
  void MarkReady();
  // What this process is to end with because of status(), or, while that is OK,
  // of a failure that came now: equal on all ranks. Thread-safe.
  int failure_exit_status() const;

  // A rank other than 0 that is to end because of a failure in service: returns
  // when rank 0 has ended, or after kNotifyTimeout. Who ends sooner has mpirun
  // kill rank 0 sooner, which may still be telling clients why. At once if it
  // is rank 0 that has failed. Thread-safe.
  void WaitForRank0Exit();

  // Cheap enough for every step: it goes to rank 0 with the next heartbeat.
  // Thread-safe.
  void ReportProgress(RankProgress progress);

  // All ranks on rank 0; elsewhere this rank alone. Thread-safe.
  std::vector<RankStatus> Ranks() const;

  // Collective: the ranks part in order, after which a peer's end is no
  // failure. Bounded by `timeout`. Groups, doorbell users and subscriptions
  // must be gone before.
  absl::Status Finish(absl::Duration timeout = absl::Seconds(10));

 private:
  class Impl;
  explicit RankRuntime(std::unique_ptr<Impl> impl);
  absl::Status Connect(const absl::StatusOr<BootstrapInfo>& facts);

  const std::unique_ptr<Impl> impl_;
};

}  // namespace moe
