#include "engine/runtime/rate_meter.h"

#include "gtest/gtest.h"

namespace moe {
namespace {

TEST(RateMeterTest, CountsTheWindowAndForgetsWhatIsOlder) {
  RateMeter meter;
  const absl::Time start = absl::UnixEpoch();
  EXPECT_EQ(meter.PerSecond(start), 0.0);
  // 20 a second for 10 seconds.
  absl::Time now = start;
  for (int i = 0; i < 200; ++i) {
    now = start + i * absl::Milliseconds(50);
    meter.Add(1, now);
  }
  EXPECT_NEAR(meter.PerSecond(now), 20.0, 1.0);
  EXPECT_NEAR(meter.PerSecond(now + absl::Milliseconds(2500)), 10.0, 1.0);
  EXPECT_EQ(meter.PerSecond(now + absl::Seconds(6)), 0.0);
}

TEST(RateMeterTest, AtTheBeginningDividesByTheTimeSoFar) {
  RateMeter meter;
  const absl::Time start = absl::UnixEpoch();
  meter.Add(10, start);
  meter.Add(10, start + absl::Seconds(1));
  EXPECT_DOUBLE_EQ(meter.PerSecond(start + absl::Seconds(1)), 20.0);
}

}  // namespace
}  // namespace moe
