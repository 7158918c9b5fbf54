#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "absl/status/status.h"

namespace moe {

// Tells a long computation that nobody waits for its result any more. The
// computation calls Check once for each small step. Not thread-safe: one
// computation owns it.
class StopSignal {
 public:
  // `stopped` is called once in kStepsPerCall steps.
  explicit StopSignal(std::function<bool()> stopped)
      : stopped_(std::move(stopped)) {}

  // kCancelled once `stopped` has returned true. `signal` null: never.
  static absl::Status Check(StopSignal* signal) {
    if (signal == nullptr || ++signal->num_steps_ % kStepsPerCall != 0) {
      return absl::OkStatus();
    }
    return signal->CheckNow();
  }
  // The same, whatever the number of steps since the last call.
  absl::Status CheckNow() const {
    return stopped_() ? absl::CancelledError("nobody waits for the result")
                      : absl::OkStatus();
  }

  // Some 100 us of work for the steps that the tokenizer counts.
  static constexpr int64_t kStepsPerCall = 1024;

 private:
  const std::function<bool()> stopped_;
  int64_t num_steps_ = 0;
};

}  // namespace moe
