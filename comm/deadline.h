#pragma once

#include <chrono>

#include "absl/time/time.h"

namespace moe {

// A point in time, `timeout` after construction, on the steady clock: changes
// of the system's time do not move it. Thread-safe once constructed.
class Deadline {
 public:
  explicit Deadline(absl::Duration timeout)
      : start_(std::chrono::steady_clock::now()), timeout_(timeout) {}

  absl::Duration Elapsed() const {
    return absl::FromChrono(std::chrono::steady_clock::now() - start_);
  }
  // Not positive once it has passed.
  absl::Duration Left() const { return timeout_ - Elapsed(); }
  bool Passed() const { return Left() <= absl::ZeroDuration(); }

 private:
  std::chrono::steady_clock::time_point start_;
  absl::Duration timeout_;
};

}  // namespace moe
