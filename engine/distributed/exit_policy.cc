#include "engine/distributed/exit_policy.h"

namespace moe {

void ExitPolicy::MarkReady() {
  if (ControlLink* const link = link_) return link->MarkReady();
  std::lock_guard lock(mutex_);
  if (!failed_) ready_ = true;
}

void ExitPolicy::OnFailure() {
  {
    std::lock_guard lock(mutex_);
    failed_ = true;
  }
  if (watchdog_ != nullptr) watchdog_->Arm(kExitTimeout, failure_exit_status());
}

int ExitPolicy::failure_exit_status() const {
  if (const ControlLink* const link = link_) {
    return link->started() ? kExitRankFailed : kExitStartFailed;
  }
  std::lock_guard lock(mutex_);
  return ready_ ? kExitRankFailed : kExitStartFailed;
}

bool ExitPolicy::ExitTogether() {
  ControlLink* const link = link_;
  if (link == nullptr) return false;
  // Rank 0 closes its end last; the others wait for that.
  if (!link->Leave(kNotifyTimeout).ok()) return false;
  link->AwaitClosed(kNotifyTimeout);
  return true;
}

void ExitPolicy::WaitForRank0Exit() {
  ControlLink* const link = link_;
  if (link != nullptr && link->started()) link->AwaitClosed(kNotifyTimeout);
}

}  // namespace moe
