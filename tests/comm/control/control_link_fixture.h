#pragma once

#include <condition_variable>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "comm/control/control_link.h"
#include "comm/deadline.h"

namespace moe {

inline constexpr absl::Duration kWaitTimeout = absl::Seconds(20);

// What a link's listener was called with.
class Told {
 public:
  ControlLink::FailureListener Listener() {
    return [this](const absl::Status& reason) {
      std::lock_guard lock(mutex_);
      reasons_.push_back(reason);
      changed_.notify_all();
    };
  }
  // The first reason, or OK if none comes.
  absl::Status Wait(absl::Duration timeout = kWaitTimeout) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                      [this] { return !reasons_.empty(); });
    return reasons_.empty() ? absl::OkStatus() : reasons_[0];
  }
  size_t count() {
    std::lock_guard lock(mutex_);
    return reasons_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<absl::Status> reasons_;
};

// Whether it comes to hold within kWaitTimeout.
template <typename Condition>
bool Eventually(Condition condition) {
  const Deadline deadline(kWaitTimeout);
  while (!condition()) {
    if (deadline.Passed()) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

inline ControlLinkOptions Options(int rank, int size) {
  ControlLinkOptions options;
  options.rank = rank;
  options.size = size;
  options.host = absl::StrCat("host", rank);
  options.heartbeat = absl::Milliseconds(20);
  options.loopback_only = true;
  return options;
}

}  // namespace moe
