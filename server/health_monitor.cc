#include "server/health_monitor.h"

#include <optional>
#include <utility>

namespace moe {

HealthMonitor::HealthMonitor(Check check, Report report,
                             absl::Duration interval)
    : check_(std::move(check)),
      report_(std::move(report)),
      interval_(interval),
      thread_([this] { Run(); }) {}

HealthMonitor::~HealthMonitor() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stopped_.notify_one();
  thread_.join();
}

void HealthMonitor::Run() {
  std::optional<bool> was_ok;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const absl::Status status = check_();
    if (was_ok != status.ok()) {
      was_ok = status.ok();
      report_(status);
    }
    stopped_.wait_for(lock, absl::ToChronoNanoseconds(interval_),
                      [this] { return stopping_; });
  }
}

}  // namespace moe
