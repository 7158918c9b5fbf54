#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace moe {

// Asks `check` again and again on a thread of its own and reports each change
// between OK and not OK, the first result included, which is reported before
// the constructor returns.
class HealthMonitor {
 public:
  using Check = std::function<absl::Status()>;
  using Report = std::function<void(const absl::Status& status)>;

  HealthMonitor(Check check, Report report, absl::Duration interval);
  // Returns once no report runs or will come.
  ~HealthMonitor();
  // Asks now, on the caller's thread, besides. Thread-safe; not to be called
  // from `check` or `report`.
  void CheckNow();

  HealthMonitor(const HealthMonitor&) = delete;
  HealthMonitor& operator=(const HealthMonitor&) = delete;

 private:
  void Run();
  void CheckLocked();

  const Check check_;
  const Report report_;
  const absl::Duration interval_;
  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;       // guarded by mutex_
  std::optional<bool> was_ok_;  // the same
  std::thread thread_;
};

}  // namespace moe
