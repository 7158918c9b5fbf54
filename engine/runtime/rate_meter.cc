#include "engine/runtime/rate_meter.h"

#include <algorithm>

namespace moe {
namespace {

constexpr absl::Duration kBucket = absl::Milliseconds(100);

}  // namespace

void RateMeter::Add(int64_t count, absl::Time now) {
  first_ = std::min(first_, now);
  while (!buckets_.empty() && buckets_.front().first < now - kWindow) {
    buckets_.pop_front();
  }
  if (buckets_.empty() || now - buckets_.back().first >= kBucket) {
    buckets_.emplace_back(now, 0);
  }
  buckets_.back().second += count;
}

double RateMeter::PerSecond(absl::Time now) const {
  int64_t count = 0;
  for (const auto& [time, tokens] : buckets_) {
    if (time >= now - kWindow) count += tokens;
  }
  if (count == 0) return 0.0;
  const absl::Duration span =
      std::clamp(now - first_, kBucket, absl::Duration(kWindow));
  return static_cast<double>(count) / absl::ToDoubleSeconds(span);
}

}  // namespace moe
