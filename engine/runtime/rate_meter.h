#pragma once

#include <cstdint>
#include <deque>
#include <utility>

#include "absl/time/time.h"

namespace moe {

// Events per second over the last seconds. Not thread-safe.
class RateMeter {
 public:
  static constexpr absl::Duration kWindow = absl::Seconds(5);

  void Add(int64_t count, absl::Time now);

  // Over the window, or since the first event if that is shorter (but at least
  // a tenth of a second).
  double PerSecond(absl::Time now) const;

 private:
  // Counts of tenths of a second, oldest first.
  std::deque<std::pair<absl::Time, int64_t>> buckets_;
  absl::Time first_ = absl::InfiniteFuture();
};

}  // namespace moe
