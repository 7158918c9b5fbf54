#include "kernels/core/steady_clock.h"

#include "absl/time/clock.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

TEST(SteadyClockTest, GoesForwardFromTheSystemsTime) {
  const absl::Time first = SteadyNow();
  EXPECT_LT(absl::AbsDuration(absl::Now() - first), absl::Minutes(1));
  absl::Time last = first;
  for (int i = 0; i < 1000; ++i) {
    const absl::Time now = SteadyNow();
    EXPECT_GE(now, last);
    last = now;
  }
  EXPECT_GT(last, first);
}

}  // namespace
}  // namespace moe
