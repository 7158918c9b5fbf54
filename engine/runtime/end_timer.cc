#include "engine/runtime/end_timer.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace moe {

EndTimer::EndTimer(absl::Duration timeout, int exit_status, std::string why)
    : thread_([this, timeout, exit_status, why = std::move(why)] {
        std::unique_lock<std::mutex> lock(mutex_);
        if (ended_.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                            [this] { return done_; })) {
          return;
        }
        std::fprintf(stderr, "moe: %s\n", why.c_str());
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
