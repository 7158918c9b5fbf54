#include "engine/distributed/failure_broadcast.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <vector>

namespace moe {
namespace {

TEST(FailureBroadcastTest, TheFirstFailureIsFinal) {
  FailureBroadcast failure;
  EXPECT_TRUE(failure.status().ok());
  EXPECT_TRUE(failure.Record(absl::UnavailableError("first")));
  EXPECT_FALSE(failure.Record(absl::UnavailableError("second")));
  EXPECT_EQ(failure.status(), absl::UnavailableError("first"));
}

TEST(FailureBroadcastTest, EachListenerIsCalledOnceWithTheReason) {
  FailureBroadcast failure;
  std::vector<absl::Status> heard[2];
  const auto early = failure.Subscribe(
      [&](const absl::Status& reason) { heard[0].push_back(reason); });
  ASSERT_TRUE(failure.Record(absl::UnavailableError("lost")));
  EXPECT_TRUE(heard[0].empty());
  failure.CallListeners();
  const auto late = failure.Subscribe(
      [&](const absl::Status& reason) { heard[1].push_back(reason); });
  failure.CallListeners();
  const std::vector<absl::Status> once = {absl::UnavailableError("lost")};
  EXPECT_EQ(heard[0], once);
  EXPECT_EQ(heard[1], once);
}

TEST(FailureBroadcastTest, AfterItsEndASubscriptionHearsNothing) {
  FailureBroadcast failure;
  int calls = 0;
  failure.Subscribe([&](const absl::Status&) { ++calls; }).reset();
  ASSERT_TRUE(failure.Record(absl::UnavailableError("lost")));
  failure.CallListeners();
  EXPECT_EQ(calls, 0);
}

TEST(FailureBroadcastTest, NoListenerWaitsForAnother) {
  FailureBroadcast failure;
  std::mutex mutex;
  std::condition_variable changed;
  int arrived = 0;
  // Each returns only when both have been called.
  const auto meet = [&](const absl::Status&) {
    std::unique_lock lock(mutex);
    ++arrived;
    changed.notify_all();
    changed.wait(lock, [&] { return arrived == 2; });
  };
  const auto first = failure.Subscribe(meet);
  const auto second = failure.Subscribe(meet);
  ASSERT_TRUE(failure.Record(absl::UnavailableError("lost")));
  failure.CallListeners();
  EXPECT_EQ(arrived, 2);
}

}  // namespace
}  // namespace moe
