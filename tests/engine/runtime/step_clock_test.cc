#include "engine/runtime/step_clock.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

TEST(StepClockTest, NamesAStepThatTakesTooLong) {
  StepClock clock;
  const absl::Time start = absl::UnixEpoch();
  const absl::Duration timeout = absl::Seconds(2);
  EXPECT_TRUE(clock.Check(timeout, start).ok());
  clock.Begin(17, 96, start);
  for (int i = 0; i <= 8; ++i) {
    EXPECT_TRUE(clock.Check(timeout, start + timeout / 8 * i).ok());
  }
  const absl::Status status = clock.Check(timeout, start + absl::Seconds(3));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              testing::HasSubstr("step 17 with 96 rows"));
  EXPECT_TRUE(clock.ShouldReportStall());
  EXPECT_FALSE(clock.ShouldReportStall());
  EXPECT_EQ(clock.End(start + absl::Seconds(4)), absl::Seconds(4));
  EXPECT_TRUE(clock.Check(timeout, start + absl::Hours(1)).ok());
  clock.Begin(18, 1, start);
  EXPECT_TRUE(clock.ShouldReportStall());
}

TEST(StepClockTest, AProcessThatWasStoppedIsNotStalled) {
  StepClock clock;
  absl::Time now = absl::UnixEpoch();
  const absl::Duration timeout = absl::Seconds(2);
  clock.Begin(17, 96, now);
  const auto check_after = [&](absl::Duration time) {
    now += time;
    return clock.Check(timeout, now);
  };
  // Stopped twice, each longer than the timeout.
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(check_after(absl::Milliseconds(100)).ok());
    EXPECT_TRUE(check_after(absl::Hours(1)).ok());
  }
  // Of the 2 seconds 1.2 have passed.
  for (int i = 0; i < 8; ++i) {
    EXPECT_TRUE(check_after(absl::Milliseconds(100)).ok());
  }
  EXPECT_FALSE(check_after(absl::Milliseconds(100)).ok());
}

}  // namespace
}  // namespace moe
