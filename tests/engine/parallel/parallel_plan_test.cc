#include "engine/parallel/parallel_plan.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "engine/config/model_config_check.h"
#include "engine/config/parameter_count.h"
#include "tests/engine/parallel/plan_shapes.h"

namespace moe {
namespace {

ExchangeCosts SlowLinks() {
  ExchangeCosts costs = Costs();
  costs.across = {absl::Milliseconds(2), absl::Microseconds(100), 0.1e9};
  return costs;
}

Topology Nodes(int nodes, int ranks) {
  return *Topology::FromShape({nodes, ranks});
}

std::string Why(const ParallelPlan& plan) {
  return absl::StrJoin(plan.why, "\n");
}

ParallelPlan Plan(const ModelConfig& config, const Topology& topology,
                  const ExchangeCosts& costs = Costs(),
                  const ParallelOptions& options = {},
                  const RankResources& rank = {}) {
  EXPECT_TRUE(ValidateModelConfig(config).ok()) << ValidateModelConfig(config);
  const auto plan = PlanParallel(config, options, topology, costs, rank);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *plan : ParallelPlan();
}

absl::Status Refusal(const ModelConfig& config, int world,
                     const ParallelOptions& options,
                     const RankResources& rank = {}) {
  return PlanParallel(config, options, Topology::OneNode(world), Costs(), rank)
      .status();
}

TEST(ParallelPlanTest, OneRankHasItAll) {
  const ParallelPlan plan = Plan(Pyramid(), Topology::OneNode(1));
  EXPECT_EQ(plan.layout.world_size(), 1);
  ASSERT_EQ(plan.moe_layers.size(), 6u);
  for (const MoeLayerDegrees& layer : plan.moe_layers) {
    EXPECT_EQ(layer.expert_degree * layer.slice_degree, 1);
  }
  EXPECT_EQ(plan.prediction.reduce + plan.prediction.exchange +
                plan.prediction.logits,
            absl::ZeroDuration());
  ParallelOptions options;  // a pinned exchange has nothing to do
  options.exchange = ExchangeKind::kHierarchical;
  Plan(Pyramid(), Topology::OneNode(1), Costs(), options);
}

TEST(ParallelPlanTest, PredictsTheWeightsOfOneRank) {
  const UniformModelConfig config = Pyramid();
  const ParallelPlan plan = Plan(config, Topology::OneNode(1));
  // Embeddings and output head are held apart; biases and norms are left out.
  const double parameters = static_cast<double>(CountParameters(config).total) +
                            config.vocab_size * config.hidden_size;
  EXPECT_NEAR(static_cast<double>(plan.prediction.weight_bytes), 2 * parameters,
              0.01 * 2 * parameters);
  EXPECT_EQ(plan.prediction.cache_bytes,
            2 * 4 * config.num_layers * 16 * 128 * config.max_positions);
}

TEST(ParallelPlanTest, CutsADenseModelInTheNode) {
  const ParallelPlan plan = Plan(Dense(), Topology::OneNode(4));
  EXPECT_EQ(plan.layout.tensor_degree(), 4) << Why(plan);
  EXPECT_TRUE(plan.moe_layers.empty());
  EXPECT_TRUE(absl::StrContains(plan.why[0], "tensor degree 4")) << Why(plan);
  EXPECT_TRUE(absl::StrContains(Why(plan), "tensor degree 1 would take"))
      << Why(plan);
}

TEST(ParallelPlanTest, KeepsTensorGroupsWithinNodesOverSlowLinks) {
  const ParallelPlan one_node = Plan(Dense(), Nodes(1, 8));
  EXPECT_EQ(one_node.layout.tensor_degree(), 8) << Why(one_node);
  const ParallelPlan two_nodes = Plan(Dense(), Nodes(2, 4), SlowLinks());
  EXPECT_EQ(two_nodes.layout.tensor_degree(), 4) << Why(two_nodes);
  const ParallelPlan pyramid = Plan(Pyramid(), Nodes(2, 4), SlowLinks());
  EXPECT_LE(pyramid.layout.tensor_degree(), 4) << Why(pyramid);
}

TEST(ParallelPlanTest, GivesAPyramidOtherDegreesInOtherLayers) {
  const ParallelPlan plan = Plan(Pyramid(), Topology::OneNode(8));
  ASSERT_EQ(plan.moe_layers.size(), 6u);
  const int experts[] = {4, 4, 8, 8, 16, 16};
  const int layers[] = {1, 3, 5, 7, 9, 11};
  for (int i = 0; i < 6; ++i) {
    const MoeLayerDegrees& degrees = plan.moe_layers[i];
    EXPECT_EQ(degrees.layer, layers[i]);
    EXPECT_EQ(degrees.num_experts, experts[i]);
    EXPECT_EQ(plan.layout.placement(i).expert_degree(), degrees.expert_degree);
    EXPECT_EQ(plan.layout.placement(i).slice_degree(), degrees.slice_degree);
    // No rank is left without weights to read.
    EXPECT_EQ(degrees.expert_degree * degrees.slice_degree, 8) << Why(plan);
    EXPECT_LE(degrees.expert_degree, experts[i]) << Why(plan);
  }
  // A large batch keeps every rank's experts busy: no more slices than ranks
  // beyond the experts.
  RankResources rank;
  rank.decode_batch = 64;
  const ParallelPlan busy =
      Plan(Pyramid(), Topology::OneNode(8), Costs(), {}, rank);
  EXPECT_EQ(busy.moe_layers[0].expert_degree, 4) << Why(busy);
  EXPECT_EQ(busy.moe_layers[0].slice_degree, 2) << Why(busy);
  for (int i = 2; i < 6; ++i) {
    EXPECT_EQ(busy.moe_layers[i].expert_degree, 8) << Why(busy);
    EXPECT_EQ(busy.moe_layers[i].slice_degree, 1) << Why(busy);
  }
  EXPECT_TRUE(absl::StrContains(Why(plan), "layers 1, 3 with 4 experts: "))
      << Why(plan);
  EXPECT_TRUE(absl::StrContains(Why(plan), "layers 9, 11 with 16 experts: "))
      << Why(plan);
}

TEST(ParallelPlanTest, SlicesExpertsWhereRanksOutnumberThem) {
  const ParallelPlan plan = Plan(WithExperts(2), Topology::OneNode(8));
  for (const MoeLayerDegrees& layer : plan.moe_layers) {
    EXPECT_GE(layer.slice_degree, 4) << Why(plan);
  }
  EXPECT_TRUE(absl::StrContains(Why(plan), "a rank holds up to 1/"))
      << Why(plan);
}

TEST(ParallelPlanTest, TakesExpertsThatDoNotDivideTheRanks) {
  ParallelOptions options;
  options.slice_degree = 1;
  const ParallelPlan plan =
      Plan(WithExperts(6), Topology::OneNode(4), Costs(), options);
  for (const MoeLayerDegrees& layer : plan.moe_layers) {
    EXPECT_EQ(layer.expert_degree, 4) << Why(plan);
  }
  EXPECT_TRUE(absl::StrContains(Why(plan), "holds up to 2 experts"))
      << Why(plan);
  // Five experts on eight ranks: with one each, three ranks have none.
  const ParallelPlan five =
      Plan(WithExperts(5), Topology::OneNode(8), Costs(), options);
  EXPECT_EQ(five.moe_layers[0].expert_degree, 8) << Why(five);
}

TEST(ParallelPlanTest, PutsCopiesWhereMemoryAllowsAndLinksAreSlow) {
  // The way to other nodes costs far more than reading all experts here.
  ExchangeCosts costs = SlowLinks();
  costs.across.base = absl::Milliseconds(50);
  RankResources rank;
  rank.memory_bytes = int64_t{64} << 30;
  const ParallelPlan roomy = Plan(WithExperts(8), Nodes(2, 4), costs, {}, rank);
  EXPECT_EQ(roomy.layout.placement(0).expert_data_degree(), 2) << Why(roomy);

  rank.memory_bytes =
      roomy.prediction.weight_bytes * 7 / 10 + roomy.prediction.cache_bytes;
  const ParallelPlan tight = Plan(WithExperts(8), Nodes(2, 4), costs, {}, rank);
  EXPECT_LE(tight.prediction.weight_bytes + tight.prediction.cache_bytes,
            rank.memory_bytes);
  EXPECT_EQ(tight.layout.placement(0).expert_data_degree(), 1) << Why(tight);
  EXPECT_GT(tight.prediction.total(), roomy.prediction.total());
  EXPECT_TRUE(absl::StrContains(Why(tight), "the fastest layout would need") ||
              absl::StrContains(Why(tight), "does not fit"))
      << Why(tight);
}

TEST(ParallelPlanTest, SaysWhatTheLeanestLayoutNeeds) {
  RankResources rank;
  rank.memory_bytes = 100 << 20;
  const absl::Status status = Refusal(Pyramid(), 4, {}, rank);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(absl::StrContains(status.message(),
                                "does not fit 4 ranks on 1 node: 0-3: the "
                                "leanest layout (tensor degree 4"))
      << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "which has 104.9 MB"))
      << status;
}

TEST(ParallelPlanTest, LeavesOutTensorDegreesThatDoNotDivideTheHeads) {
  UniformModelConfig config = Dense();
  config.num_heads = config.num_kv_heads = 12;
  const ParallelPlan plan = Plan(config, Topology::OneNode(8));
  EXPECT_EQ(plan.layout.tensor_degree(), 4) << Why(plan);
  EXPECT_TRUE(absl::StrContains(
      Why(plan), "tensor degree 8 does not divide the 12 attention heads"))
      << Why(plan);
}

TEST(ParallelPlanTest, CopiesHeadsOfKeysThatAreFewerThanRanks) {
  UniformModelConfig config = Dense();
  config.num_kv_heads = 2;
  ParallelOptions options;
  options.tensor_degree = 8;
  const ParallelPlan plan =
      Plan(config, Topology::OneNode(8), Costs(), options);
  EXPECT_EQ(plan.prediction.cache_bytes,
            2 * 4 * config.num_layers * 1 * 128 * config.max_positions);
}

TEST(ParallelPlanTest, KeepsWhatTheOptionsFix) {
  ParallelOptions options;
  options.tensor_degree = 2;
  options.expert_degree = 4;
  options.layers = {{9, 8, 1}, {11, 0, 4}};
  const ParallelPlan plan =
      Plan(Pyramid(), Topology::OneNode(8), Costs(), options);
  EXPECT_EQ(plan.layout.tensor_degree(), 2);
  ASSERT_EQ(plan.moe_layers.size(), 6u);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(plan.moe_layers[i].expert_degree, 4) << Why(plan);
  }
  EXPECT_EQ(plan.moe_layers[4].expert_degree, 8);
  EXPECT_EQ(plan.moe_layers[4].slice_degree, 1);
  EXPECT_EQ(plan.moe_layers[5].slice_degree, 4);
  EXPECT_TRUE(absl::StrContains(plan.why[0], "tensor degree 2 (configured)"))
      << Why(plan);
}

TEST(ParallelPlanTest, KeepsAPinnedExchange) {
  ParallelOptions options;
  options.tensor_degree = 1;
  options.expert_degree = 8;
  options.slice_degree = 1;
  options.exchange = ExchangeKind::kHierarchical;
  const ParallelPlan plan = Plan(WithExperts(8), Nodes(2, 4), Costs(), options);
  EXPECT_TRUE(absl::StrContains(Why(plan), "exchange hierarchical"))
      << Why(plan);
}

// What is measured varies: the layout should not, nor the rounding with it.
TEST(ParallelPlanTest, OfTensorDegreesAboutAsFastTakesTheSmallest) {
  // The dearer a message, the less a larger tensor degree is ahead.
  const auto plan = [](double microseconds, int tensor_degree) {
    ExchangeCosts costs = Costs();
    costs.in_node = {absl::Microseconds(microseconds), absl::ZeroDuration(),
                     5e9};
    ParallelOptions options;
    options.tensor_degree = tensor_degree;
    return Plan(Dense(), Topology::OneNode(2), costs, options);
  };
  const auto lead = [&](double microseconds) {
    return plan(microseconds, 1).prediction.total() -
           plan(microseconds, 2).prediction.total();
  };
  double even = 1;  // about as many microseconds as make both equally fast
  while (lead(even) > absl::ZeroDuration()) even *= 1.01;
  EXPECT_GT(even, 10);
  EXPECT_EQ(plan(0.1 * even, 0).layout.tensor_degree(), 2);
  for (const double factor : {0.97, 1.03, 3.0}) {
    const ParallelPlan chosen = plan(factor * even, 0);
    EXPECT_EQ(chosen.layout.tensor_degree(), 1) << Why(chosen);
    EXPECT_EQ(absl::StrContains(Why(chosen), "which counts as equal"),
              factor < 1)
        << Why(chosen);
  }
}

TEST(ParallelPlanTest, PlansAnyNumberOfRanks) {
  for (int world = 1; world <= 17; ++world) {
    for (const UniformModelConfig& config :
         {Pyramid(), Dense(), WithExperts(5)}) {
      const ParallelPlan plan = Plan(config, Topology::OneNode(world));
      EXPECT_EQ(plan.layout.world_size(), world);
      EXPECT_GT(plan.prediction.total(), absl::ZeroDuration());
      EXPECT_FALSE(plan.why.empty());
    }
  }
  // Nodes of different sizes.
  const auto uneven = Topology::FromNodeIds({0, 0, 0, 1, 1, 1, 1, 2});
  EXPECT_EQ(Plan(Pyramid(), *uneven).layout.world_size(), 8);
}

}  // namespace
}  // namespace moe
