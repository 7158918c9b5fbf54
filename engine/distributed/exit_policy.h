#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "comm/control/control_link.h"
#include "engine/distributed/exit_watchdog.h"

namespace moe {

// How and when a rank's process ends because of a failure. Ranks end with equal
// statuses and leave rank 0 the time to tell clients: mpirun kills all others
// soon after the first process has ended. Thread-safe.
class ExitPolicy {
 public:
  // What processes end with when a rank fails: before MarkReady, and after.
  static constexpr int kExitStartFailed = 1;
  static constexpr int kExitRankFailed = 3;
  // After a failure, the process may take so long to end.
  static constexpr absl::Duration kExitTimeout = absl::Seconds(5);
  // What rank 0 may take to tell clients of a failure, and ranks at their end
  // wait for each other.
  static constexpr absl::Duration kNotifyTimeout = absl::Milliseconds(1500);

  // Null: a failure does not end the process, because the ranks are threads
  // that it outlives.
  explicit ExitPolicy(std::unique_ptr<ExitWatchdog> watchdog)
      : watchdog_(std::move(watchdog)) {}

  bool ends_process() const { return watchdog_ != nullptr; }

  // The link to the other ranks, borrowed; null: this rank is alone, or the
  // link is gone.
  void SetLink(ControlLink* link) { link_ = link; }

  // Rank 0: all is loaded and clients are served; the other ranks are told.
  // What fails from now on is a rank in service, not the start.
  void MarkReady();
  // A failure is known: the process ends within kExitTimeout.
  void OnFailure();
  // What the process is to end with because of the failure, or, as long as
  // there is none, of one that came now: equal on all ranks.
  int failure_exit_status() const;

  // All ranks have agreed on the reason to end: true if they have all come here
  // within kNotifyTimeout, so that none need be told. False for a rank alone.
  bool ExitTogether();
  // Another rank than 0 that is to end because of a failure in service: returns
  // when rank 0 has ended, or after kNotifyTimeout; at once if it is rank 0
  // that has failed.
  void WaitForRank0Exit();

 private:
  const std::unique_ptr<ExitWatchdog> watchdog_;
  std::atomic<ControlLink*> link_ = nullptr;

  mutable std::mutex mutex_;
  // Of a rank alone; else the link knows. Guarded by mutex_.
  bool ready_ = false;
  bool failed_ = false;  // guarded by mutex_
};

}  // namespace moe
