#include "server/process/exit_bound.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace moe {
namespace {

TEST(ExitBoundDeathTest, EndsAProcessThatHangs) {
  EXPECT_EXIT(
      {
        EndProcessAfter(absl::Milliseconds(10), 2);
        while (true) pause();
      },
      testing::ExitedWithCode(2), "event=stopped reason=\"the process did not");
}

}  // namespace
}  // namespace moe
