#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace moe {

// Knows which step is running and since when, for the question whether the
// engine has stalled. Thread-safe; the answer never waits for the step.
class StepClock {
 public:
  void Begin(int64_t step_id, int64_t num_rows, absl::Time now);
  // Returns how long the step took.
  absl::Duration End(absl::Time now);

  // kUnavailable naming the step and its rows if one has been running for
  // longer than `timeout`.
  absl::Status Check(absl::Duration timeout, absl::Time now) const;

  // True once for each step that Check finds stalled: for one log line.
  bool ShouldReportStall();

 private:
  mutable std::mutex mutex_;
  bool running_ = false;
  bool reported_ = false;
  int64_t step_id_ = 0;
  int64_t num_rows_ = 0;
  absl::Time started_;
};

}  // namespace moe
