#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace moe {

// Calls `check` periodically on a thread of its own and reports the first
// result and each change between OK and not OK. The first report comes before
// the constructor returns.
class HealthMonitor {
 public:
  using Check = std::function<absl::Status()>;
  using Report = std::function<void(const absl::Status& status)>;

  HealthMonitor(Check check, Report report, absl::Duration interval);
  // No report runs or follows when this returns.
  ~HealthMonitor();
  // Checks now, on the caller's thread. Thread-safe; must not be called from
  // `check` or `report`.
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
  std::optional<bool> was_ok_;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace moe
