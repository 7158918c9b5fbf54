#include "comm/exchange_cost_measurement.h"

#include <gtest/gtest.h>

#include <mutex>
#include <vector>

#include "comm/exchange_planner.h"
#include "tests/support/ranks.h"

namespace moe {
namespace {

TEST(ExchangeCostMeasurementTest, AllRanksGetTheSameUsableCosts) {
  std::mutex mutex;
  std::vector<LinkCost> costs;
  RunThreadRanks(3, [&](Communicator& c) {
    const auto cost = MeasureLinkCost(c, 3);
    EXPECT_TRUE(cost.ok()) << cost.status();
    if (!cost.ok()) return;
    const std::lock_guard<std::mutex> lock(mutex);
    costs.push_back(*cost);
  });
  ASSERT_EQ(costs.size(), 3u);
  for (const LinkCost& cost : costs) {
    EXPECT_EQ(cost.base, costs[0].base);
    EXPECT_EQ(cost.per_message, costs[0].per_message);
    EXPECT_EQ(cost.bytes_per_second, costs[0].bytes_per_second);
    EXPECT_GE(cost.base, absl::ZeroDuration());
    EXPECT_GE(cost.per_message, absl::ZeroDuration());
    EXPECT_GT(cost.base + cost.per_message, absl::ZeroDuration());
    EXPECT_GT(cost.bytes_per_second, 0);
  }
  ExchangeCosts all = {costs[0], costs[0], MeasureCopyBandwidth(), 1.0};
  EXPECT_TRUE(ExchangePlanner::Create(all, {{1, 3}, 1}).ok());
}

TEST(ExchangeCostMeasurementTest, AGroupOfOneCostsNothing) {
  RunThreadRanks(1, [](Communicator& c) {
    const auto cost = MeasureLinkCost(c);
    ASSERT_TRUE(cost.ok());
    EXPECT_EQ(cost->base, absl::ZeroDuration());
    EXPECT_GT(cost->bytes_per_second, 1e300);
    EXPECT_EQ(MeasureLinkCost(c, 0).ok(), true) << "nothing to repeat";
  });
}

}  // namespace
}  // namespace moe
