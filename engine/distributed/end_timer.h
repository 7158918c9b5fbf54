#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "absl/time/time.h"

namespace moe {

// Ends the process with `exit_status`, and `why` on standard error (if that can
// be written at once), unless it is destroyed within `timeout`: for calls of
// MPI that wait for ever.
class EndTimer {
 public:
  EndTimer(absl::Duration timeout, int exit_status, std::string why);
  ~EndTimer();
  EndTimer(const EndTimer&) = delete;
  EndTimer& operator=(const EndTimer&) = delete;

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  bool done_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace moe
