#include "engine/distributed/exit_watchdog.h"

#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace moe {

ExitWatchdog::ExitWatchdog() : thread_([this] { Run(); }) {}

ExitWatchdog::ExitWatchdog(absl::Duration timeout, int exit_status,
                           std::function<void()> last_words)
    : ExitWatchdog() {
  Arm(timeout, exit_status, std::move(last_words));
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
                       std::function<void()> last_words) {
  const Clock::time_point deadline =
      Clock::now() + std::chrono::duration_cast<Clock::duration>(
                         absl::ToChronoNanoseconds(timeout));
  std::lock_guard lock(mutex_);
  if (order_.has_value() && order_->deadline <= deadline) return;
  order_ = {deadline, exit_status, std::move(last_words)};
  changed_.notify_all();
}

void ExitWatchdog::Run() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return done_ || order_.has_value(); });
  // The deadline may come nearer meanwhile.
  while (!done_ && Clock::now() < order_->deadline) {
    const Clock::time_point deadline = order_->deadline;
    changed_.wait_until(lock, deadline);
  }
  if (done_) return;
  const Order order = *std::move(order_);
  lock.unlock();
  if (order.last_words) order.last_words();
  _exit(order.exit_status);
}

std::function<void()> TellOnStderr(std::string why) {
  return [line = absl::StrCat("moe: ", why.substr(0, 1000), "\n")] {
    // A pipe that is ready takes PIPE_BUF bytes.
    static_assert(PIPE_BUF >= 1100);
    pollfd errors = {STDERR_FILENO, POLLOUT, 0};
    if (poll(&errors, 1, 0) != 1) return;
    if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
  };
}

}  // namespace moe
