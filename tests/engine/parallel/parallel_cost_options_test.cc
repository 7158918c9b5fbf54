#include "engine/parallel/parallel_cost_options.h"

#include <gtest/gtest.h>

namespace moe {
namespace {

MachineCosts Measured() {
  MachineCosts costs;
  costs.exchange.in_node = {absl::Microseconds(2), absl::Nanoseconds(300), 5e9};
  costs.exchange.across = {absl::Microseconds(40), absl::Microseconds(3), 1e9};
  costs.exchange.copy_bytes_per_second = 8e9;
  costs.exchange.imbalance = 1.5;
  costs.read_bytes_per_second = 12e9;
  costs.flops_per_second = 2e11;
  return costs;
}

TEST(MachineCostsTest, WhatIsConfiguredTakesThePlaceOfWhatWasMeasured) {
  EXPECT_EQ(Measured().With({}).ToText(), Measured().ToText());
  CostOptions configured;
  configured.in_node.latency = absl::Microseconds(7);
  configured.across.bytes_per_second = 3e9;
  configured.flops_per_second = 1e12;
  const MachineCosts costs = Measured().With(configured);
  EXPECT_EQ(costs.exchange.in_node.base, absl::Microseconds(7));
  EXPECT_EQ(costs.exchange.in_node.per_message, absl::Nanoseconds(300));
  EXPECT_EQ(costs.exchange.across.bytes_per_second, 3e9);
  EXPECT_EQ(costs.exchange.across.base, absl::Microseconds(40));
  EXPECT_EQ(costs.exchange.copy_bytes_per_second, 8e9);
  EXPECT_EQ(costs.exchange.imbalance, 1.5);
  EXPECT_EQ(costs.read_bytes_per_second, 12e9);
  EXPECT_EQ(costs.flops_per_second, 1e12);
}

TEST(MachineCostsTest, RoundedCostsHaveFewDigitsAndNoRateOfZero) {
  MachineCosts costs = Measured();
  costs.exchange.in_node.base = absl::Nanoseconds(1234.75);
  costs.read_bytes_per_second = 12345678901;
  costs.flops_per_second = 1e-3;
  const MachineCosts rounded = costs.Rounded();
  EXPECT_EQ(rounded.exchange.in_node.base, absl::Nanoseconds(1234));
  EXPECT_EQ(rounded.read_bytes_per_second, 12300000000);
  EXPECT_EQ(rounded.flops_per_second, 1);
  EXPECT_EQ(rounded.Rounded().ToText(), rounded.ToText());
}

TEST(MachineCostsTest, TheTextIsOneLineOfTheConfiguration) {
  EXPECT_EQ(Measured().ToText(),
            "costs { in_node { latency: '2us' per_message: '300ns' "
            "bytes_per_second: 5000000000 } across { latency: '40us' "
            "per_message: '3us' bytes_per_second: 1000000000 } "
            "copy_bytes_per_second: 8000000000 "
            "read_bytes_per_second: 12000000000 "
            "flops_per_second: 200000000000 }");
}

TEST(LinkCostOptionsTest, IsCompleteWithAllThree) {
  LinkCostOptions link;
  EXPECT_FALSE(link.is_complete());
  link.latency = absl::ZeroDuration();
  link.per_message = absl::ZeroDuration();
  EXPECT_FALSE(link.is_complete());
  link.bytes_per_second = 1e9;
  EXPECT_TRUE(link.is_complete());
}

}  // namespace
}  // namespace moe
