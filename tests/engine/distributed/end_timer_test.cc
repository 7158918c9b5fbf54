#include "engine/distributed/end_timer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "absl/time/time.h"

namespace moe {
namespace {

constexpr int kStatus = 7;

void WaitForTheEnd() {
  const EndTimer timer(absl::Milliseconds(10), kStatus, "nobody came");
  while (true) pause();
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

TEST(EndTimerTest, LeavesTheProcessAloneIfItEndsInTime) {
  const EndTimer timer(absl::Hours(1), kStatus, "nobody came");
}

TEST(EndTimerDeathTest, EndsTheProcessAndSaysWhy) {
  EXPECT_EXIT(WaitForTheEnd(), testing::ExitedWithCode(kStatus),
              "moe: nobody came\n");
}

TEST(EndTimerDeathTest, EndsTheProcessWhoeverReads) {
  EXPECT_EXIT(
      {
        BlockErrors();
        WaitForTheEnd();
      },
      testing::ExitedWithCode(kStatus), "");
}

}  // namespace
}  // namespace moe
