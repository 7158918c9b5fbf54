#include "engine/distributed/exit_watchdog.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "absl/time/time.h"

namespace moe {
namespace {

constexpr int kStatus = 7;

[[noreturn]] void Hang() {
  while (true) pause();
}

void HangUntilTheWatchdogBites() {
  const ExitWatchdog watchdog(absl::Milliseconds(10), kStatus,
                              WriteToStderr("nobody came"));
  Hang();
}

// A pipe that is full and that nobody reads.
void BlockErrors() {
  int ends[2];
  if (pipe2(ends, O_NONBLOCK) != 0) _exit(1);
  const std::string filling(1 << 16, 'x');
  while (write(ends[1], filling.data(), filling.size()) > 0) {
  }
  fcntl(ends[1], F_SETFL, 0);
  dup2(ends[1], STDERR_FILENO);
}

TEST(ExitWatchdogTest, AProcessThatEndsInTimeIsLeftAlone) {
  const ExitWatchdog watchdog(absl::Hours(1), kStatus,
                              WriteToStderr("nobody came"));
}

TEST(ExitWatchdogTest, WithoutAnOrderNothingEnds) { const ExitWatchdog idle; }

TEST(ExitWatchdogDeathTest, EndsTheProcessAndSaysWhy) {
  EXPECT_EXIT(HangUntilTheWatchdogBites(), testing::ExitedWithCode(kStatus),
              "moe: nobody came\n");
}

TEST(ExitWatchdogDeathTest, EndsTheProcessWhoeverReads) {
  EXPECT_EXIT(
      {
        BlockErrors();
        HangUntilTheWatchdogBites();
      },
      testing::ExitedWithCode(kStatus), "");
}

TEST(ExitWatchdogDeathTest, TheEarliestOrderCounts) {
  EXPECT_EXIT(
      {
        ExitWatchdog watchdog(absl::Hours(1), 1, {});
        watchdog.Arm(absl::Milliseconds(10), kStatus,
                     [] { std::fputs("early\n", stderr); });
        watchdog.Arm(absl::Hours(2), 2);
        Hang();
      },
      testing::ExitedWithCode(kStatus), "early");
}

}  // namespace
}  // namespace moe
