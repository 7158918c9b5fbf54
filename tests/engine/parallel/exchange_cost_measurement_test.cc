#include "engine/parallel/exchange_cost_measurement.h"

#include <gtest/gtest.h>

#include <mutex>
#include <numeric>
#include <vector>

#include "comm/topology.h"
#include "engine/parallel/exchange_planner.h"
#include "tests/support/ranks.h"

namespace moe {
namespace {

TEST(ExchangeCostMeasurementTest, AllRanksGetTheSameUsableCosts) {
  std::mutex mutex;
  std::vector<LinkCost> costs;
  RunThreadRanks(3, [&](HostCommunicator& c) {
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

TEST(ExchangeCostMeasurementTest, MeasuresBothKindsOfLink) {
  struct Case {
    std::vector<int> nodes;
    bool same;  // links in the node and between
  };
  for (const Case& c : {Case{{0, 0, 1, 1}, false}, Case{{0, 0, 0, 1}, false},
                        Case{{0, 1, 1, 2, 2, 2}, false}, Case{{0, 1, 2}, true},
                        Case{{0, 0, 0}, true}}) {
    const auto topology = Topology::FromNodeIds(c.nodes);
    ASSERT_TRUE(topology.ok());
    std::mutex mutex;
    std::vector<ExchangeCosts> all;
    RunThreadRanks(
        static_cast<int>(c.nodes.size()), [&](HostCommunicator& world) {
          const auto costs = MeasureExchangeCosts(world, *topology, 2);
          EXPECT_TRUE(costs.ok()) << costs.status();
          if (!costs.ok()) return;
          const std::lock_guard<std::mutex> lock(mutex);
          all.push_back(*costs);
        });
    ASSERT_EQ(all.size(), c.nodes.size());
    for (const ExchangeCosts& costs : all) {
      EXPECT_EQ(costs.in_node.base, all[0].in_node.base);
      EXPECT_EQ(costs.across.bytes_per_second, all[0].across.bytes_per_second);
      EXPECT_EQ(costs.copy_bytes_per_second, all[0].copy_bytes_per_second);
      EXPECT_GT(costs.in_node.base + costs.in_node.per_message,
                absl::ZeroDuration());
      EXPECT_LT(costs.across.bytes_per_second, 1e300);
      EXPECT_LT(costs.in_node.bytes_per_second, 1e300);
      if (c.same) {
        EXPECT_EQ(costs.in_node.base, costs.across.base);
      }
    }
  }
}

TEST(ExchangeCostMeasurementTest, OfManyRanksEachMeasuresTheNextOnes) {
  std::vector<int> nodes(48);
  std::iota(nodes.begin(), nodes.end(), 0);
  const auto apart = Topology::FromNodeIds(nodes);
  ASSERT_TRUE(apart.ok());
  for (const Topology& topology : {*apart, Topology::OneNode(48)}) {
    RunThreadRanks(48, [&](HostCommunicator& world) {
      EXPECT_TRUE(MeasureExchangeCosts(world, topology, 1).ok());
      // Three rows of six small messages to 32 others, three of two large ones,
      // and what is told to all 47; to all it would be a third more.
      EXPECT_LT(world.counters().messages_sent, 1200);
      EXPECT_GT(world.counters().messages_sent, 3 * 6 * 32);
    });
  }
}

TEST(ExchangeCostMeasurementTest, TheTopologyMustBeOfTheWorld) {
  RunThreadRanks(2, [](HostCommunicator& world) {
    EXPECT_EQ(MeasureExchangeCosts(world, Topology::OneNode(3)).status().code(),
              absl::StatusCode::kInvalidArgument);
  });
}

TEST(ExchangeCostMeasurementTest, AGroupOfOneCostsNothing) {
  RunThreadRanks(1, [](HostCommunicator& c) {
    const auto cost = MeasureLinkCost(c);
    ASSERT_TRUE(cost.ok());
    EXPECT_EQ(cost->base, absl::ZeroDuration());
    EXPECT_GT(cost->bytes_per_second, 1e300);
    EXPECT_TRUE(MeasureLinkCost(c, 0).ok()) << "nothing to repeat";
  });
}

}  // namespace
}  // namespace moe
