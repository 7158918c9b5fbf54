#include "engine/distributed/exit_watchdog.h"

#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace moe {

ExitWatchdog::ExitWatchdog() : thread_([this] { Run(); }) {}

ExitWatchdog::ExitWatchdog(absl::Duration timeout, int exit_status,
                           std::function<void()> on_expiry)
    : ExitWatchdog() {
  Arm(timeout, exit_status, std::move(on_expiry));
}

ExitWatchdog::~ExitWatchdog() {
  {
    std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void ExitWatchdog::Arm(absl::Duration timeout, int exit_status,
                       std::function<void()> on_expiry) {
  const Clock::time_point deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(
                         absl::ToChronoNanoseconds(timeout));
  std::lock_guard lock(mutex_);
  if (pending_exit_.has_value() && pending_exit_->deadline <= deadline) return;
  pending_exit_ = {deadline, exit_status, std::move(on_expiry)};
  changed_.notify_all();
}

void ExitWatchdog::Run() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return done_ || pending_exit_.has_value(); });
  // Arm may set an earlier deadline meanwhile.
  while (!done_ && Clock::now() < pending_exit_->deadline) {
    const Clock::time_point deadline = pending_exit_->deadline;
    changed_.wait_until(lock, deadline);
  }
  if (done_) return;
  const PendingExit pending_exit = *std::move(pending_exit_);
  lock.unlock();
  if (pending_exit.on_expiry) pending_exit.on_expiry();
  _exit(pending_exit.exit_status);
}

std::function<void()> WriteToStderr(std::string why) {
  return [line = absl::StrCat("moe: ", why.substr(0, 1000), "\n")] {
    // A pipe that poll reports writable takes PIPE_BUF bytes without blocking.
    static_assert(PIPE_BUF >= 1100);
    pollfd errors = {STDERR_FILENO, POLLOUT, 0};
    if (poll(&errors, 1, 0) != 1) return;
    if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
  };
}

}  // namespace moe
