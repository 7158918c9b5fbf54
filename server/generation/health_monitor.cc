#include "server/generation/health_monitor.h"

#include <utility>

namespace moe {

HealthMonitor::HealthMonitor(Check check, Report report,
                             absl::Duration interval)
    : check_(std::move(check)),
      report_(std::move(report)),
      interval_(interval) {
  // The first report precedes the return of the constructor.
  CheckNow();
  thread_ = std::thread([this] { Run(); });
}

HealthMonitor::~HealthMonitor() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_one();
  thread_.join();
}

void HealthMonitor::CheckNow() {
  std::lock_guard lock(mutex_);
  CheckLocked();
}

void HealthMonitor::CheckLocked() {
  const absl::Status status = check_();
  if (was_ok_ == status.ok()) return;
  was_ok_ = status.ok();
  report_(status);
}

void HealthMonitor::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    CheckLocked();
    stopped_.wait_for(lock, absl::ToChronoNanoseconds(interval_),
                      [this] { return stopping_; });
  }
}

}  // namespace moe
