#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "absl/time/time.h"

namespace moe {

// Ends the process with _exit if it still runs after a timeout, whatever hangs;
// destructors do not run then. The constructor starts the thread, since a
// process in trouble may fail to start one. Thread-safe.
class ExitWatchdog {
 public:
  // Not armed.
  ExitWatchdog();
  // Armed from the start.
  ExitWatchdog(absl::Duration timeout, int exit_status,
               std::function<void()> on_expiry);
  // Disarms it.
  ~ExitWatchdog();
  ExitWatchdog(const ExitWatchdog&) = delete;
  ExitWatchdog& operator=(const ExitWatchdog&) = delete;

  // Ends the process with `exit_status` after `timeout`. Calls `on_expiry` (may
  // be empty) before, which must not block. Of several calls the one with the
  // earliest deadline counts.
  void Arm(absl::Duration timeout, int exit_status,
           std::function<void()> on_expiry = {});

 private:
  using Clock = std::chrono::steady_clock;

  struct PendingExit {
    Clock::time_point deadline;
    int exit_status = 0;
    std::function<void()> on_expiry;
  };

  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<PendingExit> pending_exit_;  // guarded by mutex_
  bool done_ = false;                        // guarded by mutex_
  std::thread thread_;
};

// A function that writes `why` as a line to standard error. It drops the line
// if the write could block.
std::function<void()> WriteToStderr(std::string why);

}  // namespace moe
