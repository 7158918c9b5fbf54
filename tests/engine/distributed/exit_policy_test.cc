// A rank alone; rank_runtime_test has several.
#include "engine/distributed/exit_policy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>

namespace moe {
namespace {

TEST(ExitPolicyTest, TheStatusTellsWhetherTheRankWasReady) {
  ExitPolicy policy(nullptr);
  EXPECT_FALSE(policy.ends_process());
  EXPECT_EQ(policy.failure_exit_status(), ExitPolicy::kExitStartFailed);
  policy.MarkReady();
  EXPECT_EQ(policy.failure_exit_status(), ExitPolicy::kExitRankFailed);
  policy.OnFailure();
  EXPECT_EQ(policy.failure_exit_status(), ExitPolicy::kExitRankFailed);
}

TEST(ExitPolicyTest, AFailureOfTheStartStaysOne) {
  ExitPolicy policy(nullptr);
  policy.OnFailure();
  policy.MarkReady();
  EXPECT_EQ(policy.failure_exit_status(), ExitPolicy::kExitStartFailed);
}

TEST(ExitPolicyTest, ARankAloneHasNobodyToExitWith) {
  ExitPolicy policy(nullptr);
  EXPECT_FALSE(policy.ExitTogether());
  policy.MarkReady();
  policy.WaitForRank0Exit();  // returns at once
}

TEST(ExitPolicyDeathTest, AFailureEndsAProcessThatHangs) {
  EXPECT_EXIT(
      {
        ExitPolicy policy(std::make_unique<ExitWatchdog>());
        policy.MarkReady();
        policy.OnFailure();
        while (true) pause();
      },
      testing::ExitedWithCode(ExitPolicy::kExitRankFailed), "");
}

}  // namespace
}  // namespace moe
