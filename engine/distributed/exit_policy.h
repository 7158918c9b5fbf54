#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "comm/control/control_link.h"
#include "engine/distributed/exit_watchdog.h"

namespace moe {

// Decides how and when a rank's process exits after a failure. All ranks exit
// with the same status, and the others wait for rank 0 to notify its clients:
// mpirun kills all processes soon after the first one has exited. Thread-safe.
class ExitPolicy {
 public:
  // Exit statuses when a rank fails: before MarkReady, and after.
  static constexpr int kExitStartFailed = 1;
  static constexpr int kExitRankFailed = 3;
  // Longest time from a failure to the exit of the process.
  static constexpr absl::Duration kExitTimeout = absl::Seconds(5);
  // Longest time for rank 0 to notify clients of a failure, and for ranks to
  // wait for each other before they exit.
  static constexpr absl::Duration kNotifyTimeout = absl::Milliseconds(1500);

  // A null `watchdog`: a failure does not end the process, because its ranks
  // are threads.
  explicit ExitPolicy(std::unique_ptr<ExitWatchdog> watchdog)
      : watchdog_(std::move(watchdog)) {}

  bool ends_process() const { return watchdog_ != nullptr; }

  // The link to the other ranks, borrowed; null: the job has one rank, or the
  // link is destroyed.
  void SetLink(ControlLink* link) { link_ = link; }

  // Rank 0 calls this once it serves clients; the link notifies the other
  // ranks. Later failures count as failures in service, not of the start.
  void MarkReady();
  // Called at the first failure: the process exits within kExitTimeout.
  void OnFailure();
  // The exit status for the failure, or for one that happens now if there is
  // none yet. Equal on all ranks.
  int failure_exit_status() const;

  // For ranks that have agreed on the reason to exit: true if all of them call
  // this within kNotifyTimeout, so that none must be notified. False if there
  // is one rank.
  bool ExitTogether();
  // For ranks other than 0, after a failure in service: waits until rank 0 has
  // exited, for at most kNotifyTimeout; returns at once if rank 0 has failed.
  void WaitForRank0Exit();

 private:
  const std::unique_ptr<ExitWatchdog> watchdog_;
  std::atomic<ControlLink*> link_ = nullptr;

  mutable std::mutex mutex_;
  // Used if there is no link, which has this state too. Guarded by mutex_.
  bool ready_ = false;
  bool failed_ = false;  // guarded by mutex_
};

}  // namespace moe
