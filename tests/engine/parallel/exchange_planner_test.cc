#include "engine/parallel/exchange_planner.h"

#include <gtest/gtest.h>

#include <string>

namespace moe {
namespace {

// The messages dominate: 15 us each, as the stacks of 2021.
ExchangeCosts SlowMessages() {
  ExchangeCosts costs;
  costs.in_node = {absl::Microseconds(5), absl::Microseconds(15), 200e9};
  costs.across = {absl::Microseconds(15), absl::Microseconds(15), 20e9};
  costs.copy_bytes_per_second = 1e12;
  return costs;
}

constexpr int64_t kRowBytes = 4096;

TEST(ExchangePlannerTest, FlatFollowsTheFormula) {
  ExchangeCosts costs = SlowMessages();
  costs.imbalance = 1.5;
  const ExchangePrediction p = PredictExchange(
      ExchangeKind::kFlat, costs, {{2, 4}, 1}, {100, 2, kRowBytes});
  // Three latencies of 15 + 7 * 15 us, twice the slower link's 4/8 of the rows.
  const double rows = 100 * 2 * kRowBytes * 1.5;
  const double us = 3 * (15 + 7 * 15) + 2 * rows * 4 / 8 / 20e9 * 1e6;
  EXPECT_NEAR(absl::ToDoubleMicroseconds(p.time), us, 0.01);
  EXPECT_EQ(p.messages, 3 * 7);
  EXPECT_NEAR(p.bytes, 2 * rows * 7 / 8, 1);
}

TEST(ExchangePlannerTest, MessageCountsAreThoseOfTheExchanges) {
  const ExchangeCosts costs = SlowMessages();
  ExchangeLoad load = {64, 1, kRowBytes};
  const auto messages = [&](ExchangeKind kind, ExchangeShape shape) {
    return PredictExchange(kind, costs, shape, load).messages;
  };
  // Counts, there, back.
  EXPECT_EQ(messages(ExchangeKind::kFlat, {{4, 8}, 1}), 3 * 31);
  EXPECT_EQ(messages(ExchangeKind::kHierarchical, {{4, 8}, 1}), 3 * (7 + 3));
  EXPECT_EQ(messages(ExchangeKind::kCoordinated, {{4, 8}, 8}), 3 * 3 + 7);
  EXPECT_EQ(messages(ExchangeKind::kCoordinated, {{1, 4}, 4}), 3);
  EXPECT_EQ(messages(ExchangeKind::kReplicated, {{1, 4}, 4}), 3);
  EXPECT_EQ(messages(ExchangeKind::kReplicated, {{4, 2}, 1}), 7 + 7);
  EXPECT_EQ(messages(ExchangeKind::kFlat, {{1, 1}, 1}), 0);
  // Three rows go to three ranks at most, their counts to all.
  load.tokens = 3;
  EXPECT_EQ(messages(ExchangeKind::kFlat, {{4, 8}, 1}), 31 + 3 + 3);
  EXPECT_EQ(messages(ExchangeKind::kHierarchical, {{4, 8}, 1}),
            7 + 3 + 3 + 3 * 3);
}

TEST(ExchangePlannerTest, FewRowsReachOnlySomeRanks) {
  ExchangeCosts costs = SlowMessages();
  costs.across.bytes_per_second = costs.in_node.bytes_per_second = 1e18;
  const auto us = [&](ExchangeKind kind, int64_t tokens) {
    return absl::ToDoubleMicroseconds(
        PredictExchange(kind, costs, {{4, 1}, 1}, {tokens, 1, kRowBytes}).time);
  };
  // Counts to all three; there and back a row goes to each with 1/4 and stays
  // with 1/4, so that two rows miss a rank with 9/16.
  EXPECT_NEAR(us(ExchangeKind::kFlat, 1), 3 * 15 + 45 + 2 * 3 * 15 * 1 / 4.,
              .1);
  EXPECT_NEAR(us(ExchangeKind::kFlat, 2), 3 * 15 + 45 + 2 * 3 * 15 * 7 / 16.,
              .1);
  // The token to all, its result to the one that has it.
  EXPECT_NEAR(us(ExchangeKind::kReplicated, 1), 2 * 15 + 45 + 3 * 15 * 1 / 4.,
              .1);
}

TEST(ExchangePlannerTest, PredictsCollectivesRoundByRound) {
  const ExchangeCosts costs = SlowMessages();
  const auto us = [](absl::Duration time) {
    return absl::ToDoubleMicroseconds(time);
  };
  EXPECT_EQ(PredictMessages(costs, 0, 0, 1000), absl::ZeroDuration());
  // Base and messages of the node, of both, and the slower of the links.
  EXPECT_NEAR(us(PredictMessages(costs, 3, 0, 2e6)), 5 + 3 * 15 + 3 * 10, .01);
  EXPECT_NEAR(us(PredictMessages(costs, 3, 4, 2e6)),
              15 + 7 * 15 + 4 * 2e6 / 20e9 * 1e6, 0.01);
  // One round for few bytes or two ranks, else two of a part.
  EXPECT_EQ(PredictAllReduce(costs, 3, 0, 4096),
            PredictMessages(costs, 3, 0, 4096));
  EXPECT_EQ(PredictAllReduce(costs, 0, 1, 1 << 20),
            PredictMessages(costs, 0, 1, 1 << 20));
  EXPECT_EQ(PredictAllReduce(costs, 3, 0, 1 << 20),
            2 * PredictMessages(costs, 3, 0, 1 << 18));
  EXPECT_EQ(PredictAllGather(costs, 3, 0, 1 << 20),
            PredictMessages(costs, 3, 0, 1 << 18));
}

TEST(ExchangePlannerTest, HierarchicalWinsForFewTokensAndFlatForMany) {
  const auto planner = ExchangePlanner::Create(SlowMessages(), {{8, 8}, 1});
  ASSERT_TRUE(planner.ok()) << planner.status();
  const ExchangeChoice few = planner->Choose({64, 1, kRowBytes});
  EXPECT_EQ(few.kind, ExchangeKind::kHierarchical) << few.why;
  const ExchangeChoice many = planner->Choose({1 << 20, 1, kRowBytes});
  EXPECT_EQ(many.kind, ExchangeKind::kFlat) << many.why;
  EXPECT_NE(many.why.find("flat for 1048576 tokens x top-1 on 8x8 ranks"),
            std::string::npos)
      << many.why;
}

// m* of docs/parallelism.md, where the two kinds take equal time.
TEST(ExchangePlannerTest, TheCrossoverIsWhereTheFormulasMeet) {
  const auto planner = ExchangePlanner::Create(SlowMessages(), {{8, 8}, 1});
  ASSERT_TRUE(planner.ok());
  int64_t below = 1, above = 1 << 20;
  while (above - below > 1) {
    const int64_t middle = (below + above) / 2;
    (planner->Choose({middle, 1, kRowBytes}).kind == ExchangeKind::kHierarchical
         ? below
         : above) = middle;
  }
  // Per direction: saved 49 messages of 15 us (x 3 / 2 for the counts) less one
  // base of 5 us; paid 7/8 m / B_node + 4 m / B_copy, and nothing across nodes,
  // where flat sends 56/64 and hierarchical 7/8 of m.
  const double saved = 1.5 * (49 * 15e-6 - 5e-6);
  const double m = saved / (7.0 / 8 / 200e9 + 4 / 1e12);
  EXPECT_NEAR(below * double{kRowBytes}, m, 0.01 * m);
}

TEST(ExchangePlannerTest, ReplicasAreUsedWhereThereAreAny) {
  const auto planner = ExchangePlanner::Create(SlowMessages(), {{4, 8}, 8});
  ASSERT_TRUE(planner.ok()) << planner.status();
  const ExchangeChoice choice = planner->Choose({512, 1, kRowBytes});
  EXPECT_EQ(choice.kind, ExchangeKind::kCoordinated) << choice.why;
  for (const ExchangePrediction& p : choice.predictions) {
    EXPECT_NE(p.kind, ExchangeKind::kHierarchical);
  }
}

TEST(ExchangePlannerTest, OneRankNeedsNoTime) {
  const auto planner = ExchangePlanner::Create(SlowMessages(), {{1, 1}, 1});
  ASSERT_TRUE(planner.ok());
  EXPECT_EQ(planner->Choose({512, 1, kRowBytes}).predictions[0].time,
            absl::ZeroDuration());
}

TEST(ExchangePlannerTest, APinnedKindIsTakenOrRefused) {
  const auto planner =
      ExchangePlanner::Create(SlowMessages(), {{8, 8}, 1}, ExchangeKind::kFlat);
  ASSERT_TRUE(planner.ok());
  const ExchangeChoice choice = planner->Choose({8, 1, kRowBytes});
  EXPECT_EQ(choice.kind, ExchangeKind::kFlat);
  EXPECT_EQ(choice.predictions[0].kind, ExchangeKind::kHierarchical);
  EXPECT_NE(choice.why.find("(pinned)"), std::string::npos) << choice.why;
  for (ExchangeKind kind :
       {ExchangeKind::kHierarchical, ExchangeKind::kCoordinated}) {
    EXPECT_EQ(ExchangePlanner::Create(SlowMessages(), {{1, 8}, 1}, kind)
                  .status()
                  .code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_FALSE(ExchangePlanner::Create(SlowMessages(), {{1, 8}, 3}).ok());
  EXPECT_FALSE(ExchangePlanner::Create({}, {{1, 8}, 1}).ok());
}

TEST(ExchangePlannerTest, NamesOfKindsAreParsed) {
  for (ExchangeKind kind :
       {ExchangeKind::kFlat, ExchangeKind::kHierarchical,
        ExchangeKind::kCoordinated, ExchangeKind::kReplicated}) {
    const auto parsed = ParseExchangeKind(ExchangeKindName(kind));
    ASSERT_TRUE(parsed.ok());
    EXPECT_EQ(*parsed, kind);
  }
  EXPECT_FALSE(ParseExchangeKind("nccl").ok());
}

}  // namespace
}  // namespace moe
