#include "comm/idle_doorbell.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace moe {
namespace {

TEST(IdleDoorbellTest, OneWaitReturnsForEachRing) {
  constexpr int kRanks = 4, kRings = 50;
  const auto doorbells = MakeThreadDoorbells(kRanks);
  std::atomic<int> answers = 0;
  std::vector<std::thread> threads;
  for (int r = 1; r < kRanks; ++r) {
    threads.emplace_back([&, r] {
      for (int i = 0; i < kRings; ++i) {
        EXPECT_TRUE(doorbells[r]->Wait(absl::Seconds(20)).ok());
        ++answers;
      }
      EXPECT_EQ(doorbells[r]->Wait(absl::ZeroDuration()).code(),
                absl::StatusCode::kDeadlineExceeded);
    });
  }
  for (int i = 0; i < kRings; ++i) {
    EXPECT_TRUE(doorbells[0]->Ring().ok());
    // Every second time wait for the answers, so that rings come before the
    // waits and after them.
    if (i % 2 == 0) {
      while (answers < (kRanks - 1) * (i + 1)) std::this_thread::yield();
    }
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(IdleDoorbellTest, WaitIsBoundedAndNamesTheRank) {
  const auto doorbells = MakeThreadDoorbells(3);
  const absl::Status status = doorbells[2]->Wait(absl::Milliseconds(20));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_NE(status.message().find("rank 2"), absl::string_view::npos) << status;
  EXPECT_TRUE(doorbells[0]->Ring().ok());
  EXPECT_TRUE(doorbells[2]->Wait(absl::InfiniteDuration()).ok());
}

TEST(IdleDoorbellTest, OnlyRankZeroRings) {
  const auto doorbells = MakeThreadDoorbells(2);
  EXPECT_EQ(doorbells[1]->Ring().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(doorbells[0]->Wait(absl::ZeroDuration()).code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace moe
