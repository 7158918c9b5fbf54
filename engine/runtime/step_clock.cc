#include "engine/runtime/step_clock.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace moe {

void StepClock::Begin(int64_t step_id, int64_t num_rows, absl::Time now) {
  std::lock_guard<std::mutex> lock(mutex_);
  running_ = true;
  reported_ = false;
  step_id_ = step_id;
  num_rows_ = num_rows;
  started_ = seen_ = now;
  ran_ = absl::ZeroDuration();
}

absl::Duration StepClock::End(absl::Time now) {
  std::lock_guard<std::mutex> lock(mutex_);
  running_ = false;
  return now - started_;
}

absl::Status StepClock::Check(absl::Duration timeout, absl::Time now) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!running_) return absl::OkStatus();
  ran_ += std::min(now - seen_, timeout / 4);
  seen_ = now;
  if (ran_ <= timeout) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      "the engine is stalled: step ", step_id_, " with ", num_rows_,
      " rows has been running for ", absl::FormatDuration(now - started_),
      ", longer than stall_timeout ", absl::FormatDuration(timeout)));
}

bool StepClock::ShouldReportStall() {
  std::lock_guard<std::mutex> lock(mutex_);
  const bool first = running_ && !reported_;
  reported_ = true;
  return first;
}

}  // namespace moe
