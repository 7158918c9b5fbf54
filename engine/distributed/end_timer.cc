#include "engine/distributed/end_timer.h"

#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"

namespace moe {
namespace {

// Whoever reads the errors may have stopped: then there is nobody to tell, and
// nothing is to hold up the end. (A pipe that is ready takes PIPE_BUF bytes.)
void TellIfSomebodyReads(const std::string& why) {
  pollfd errors = {STDERR_FILENO, POLLOUT, 0};
  if (poll(&errors, 1, 0) != 1) return;
  const std::string line = absl::StrCat("moe: ", why.substr(0, 1000), "\n");
  static_assert(PIPE_BUF >= 1100);
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) return;
}

}  // namespace

EndTimer::EndTimer(absl::Duration timeout, int exit_status, std::string why)
    : thread_([this, timeout, exit_status, why = std::move(why)] {
        std::unique_lock<std::mutex> lock(mutex_);
        if (ended_.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                            [this] { return done_; })) {
          return;
        }
        TellIfSomebodyReads(why);
        _exit(exit_status);
      }) {}

EndTimer::~EndTimer() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    done_ = true;
    ended_.notify_all();
  }
  thread_.join();
}

}  // namespace moe
