#include "server/generation/live_requests.h"

#include <gtest/gtest.h>

#include <thread>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace moe {
namespace {

TEST(LiveRequestsTest, OneIdMayBeUsedByManyRequests) {
  LiveRequests live(10);
  const std::string first = *live.Add("a");
  const std::string second = *live.Add("a");
  EXPECT_NE(first, second);
  EXPECT_EQ(live.Find("a"), (std::vector<std::string>{first, second}));
  live.Remove("a", first);
  EXPECT_EQ(live.Find("a"), std::vector<std::string>{second});
  live.Remove("a", second);
  EXPECT_TRUE(live.Find("a").empty());
  EXPECT_EQ(live.size(), 0);
}

TEST(LiveRequestsTest, TakesNoMoreThanItsBound) {
  LiveRequests live(1);
  const std::string first = *live.Add("a");
  EXPECT_TRUE(absl::IsResourceExhausted(live.Add("b").status()));
  EXPECT_EQ(live.size(), 1);
  live.Remove("a", first);
  EXPECT_TRUE(live.Add("b").ok());
}

TEST(LiveRequestsTest, RemovingTwiceCountsOnce) {
  LiveRequests live(2);
  const std::string first = *live.Add("a");
  *live.Add("a");
  live.Remove("a", first);
  live.Remove("a", first);
  EXPECT_EQ(live.size(), 1);
}

TEST(LiveRequestsTest, WaitsForTheLast) {
  LiveRequests live(2);
  EXPECT_TRUE(live.WaitEmpty(absl::ZeroDuration()));
  const std::string first = *live.Add("a");
  EXPECT_FALSE(live.WaitEmpty(absl::ZeroDuration()));
  std::thread other([&] { live.Remove("a", first); });
  EXPECT_TRUE(live.WaitEmpty(absl::Minutes(1)));
  other.join();
}

// A request is forgotten before its client has its end.
TEST(LiveRequestsTest, CallsAreWaitedForToo) {
  LiveRequests live(2);
  live.BeginCall();
  EXPECT_FALSE(live.WaitEmpty(absl::ZeroDuration()));
  live.EndCall();
  EXPECT_TRUE(live.WaitEmpty(absl::ZeroDuration()));
}

}  // namespace
}  // namespace moe
