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

// Ends the process by _exit if it is still there when a time is over, whatever
// hangs: destructors do not run then. Its thread exists from the beginning,
// because a process that hangs may be short of threads. Thread-safe.
class ExitWatchdog {
 public:
  // Ends nothing before Arm.
  ExitWatchdog();
  // Armed from the start.
  ExitWatchdog(absl::Duration timeout, int exit_status,
               std::function<void()> last_words);
  // Disarms it.
  ~ExitWatchdog();
  ExitWatchdog(const ExitWatchdog&) = delete;
  ExitWatchdog& operator=(const ExitWatchdog&) = delete;

  // Ends the process with `exit_status` when `timeout` is over, after
  // `last_words` (may be empty), which must not wait for anything that may
  // hang. Of several calls the one that ends the process first counts.
  void Arm(absl::Duration timeout, int exit_status,
           std::function<void()> last_words = {});

 private:
  using Clock = std::chrono::steady_clock;

  struct Order {
    Clock::time_point deadline;
    int exit_status = 0;
    std::function<void()> last_words;
  };

  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Order> order_;  // guarded by mutex_
  bool done_ = false;           // guarded by mutex_
  std::thread thread_;
};

// Last words: `why` as a line on standard error. Whoever reads the errors may
// have stopped: then there is nobody to tell, and the line is left out.
std::function<void()> TellOnStderr(std::string why);

}  // namespace moe
