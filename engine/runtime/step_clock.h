#pragma once

#include <cstdint>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace moe {

// Records which step is running and since when, to detect a stalled engine.
// Thread-safe; no call waits for the step.
class StepClock {
 public:
  void Begin(int64_t step_id, int64_t num_rows, absl::Time now);
  // Returns how long the step took.
  absl::Duration End(absl::Time now);

  // kUnavailable that names the step and its rows if a step has run for longer
  // than `timeout`. For that it must be called now and then: of the time
  // between two calls, or since the step began, a quarter of the timeout counts
  // at most, since the process may have been stopped (SIGSTOP, a frozen
  // container).
  absl::Status Check(absl::Duration timeout, absl::Time now);

  // True once for each stalled step, so that it is logged once.
  bool ShouldReportStall();

 private:
  std::mutex mutex_;
  bool running_ = false;
  bool reported_ = false;
  int64_t step_id_ = 0;
  int64_t num_rows_ = 0;
  absl::Time started_;
  absl::Time seen_;     // the last Check, or the begin of the step
  absl::Duration ran_;  // of the time until seen_, what counts
};

}  // namespace moe
