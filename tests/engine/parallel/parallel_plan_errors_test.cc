#include <gtest/gtest.h>

#include <functional>

#include "absl/strings/match.h"
#include "engine/parallel/parallel_plan.h"
#include "tests/engine/parallel/plan_shapes.h"

namespace moe {
namespace {

absl::Status Refusal(const ModelConfig& config, int world,
                     const ParallelOptions& options,
                     const RankResources& rank = {}) {
  return PlanParallel(config, options, Topology::OneNode(world), Costs(), rank)
      .status();
}

TEST(ParallelPlanErrorsTest, NamesTheLayerAndTheNumbersThatDoNotFit) {
  struct Case {
    const char* message;
    std::function<void(ParallelOptions&)> set;
  };
  const Case cases[] = {
      {"tensor degree 3 must divide the world of 8 ranks",
       [](auto& o) { o.tensor_degree = 3; }},
      {"tensor degree is -1", [](auto& o) { o.tensor_degree = -1; }},
      {"expert degree is -4", [](auto& o) { o.expert_degree = -4; }},
      {"layer 1 (4 experts): expert degree 3 does not divide the number",
       [](auto& o) {
         o.tensor_degree = 1;
         o.expert_degree = 3;
       }},
      {"layer 5 (8 experts): expert degree 8 x slice degree 2 = 16 must divide "
       "the world of 8 ranks",
       [](auto& o) {
         o.tensor_degree = 1;
         o.layers = {{5, 8, 2}};
       }},
      // The same of every tensor degree: said once.
      {"layer 5 (8 experts): expert degree 8 x slice degree 2 = 16 must divide",
       [](auto& o) {
         o.layers = {{5, 8, 2}};
       }},
      {"layer 2, which is dense",
       [](auto& o) {
         o.layers = {{2, 4, 1}};
       }},
      {"layer 12, but the model has layers 0 to 11",
       [](auto& o) {
         o.layers = {{12, 4, 1}};
       }},
      {"layer 3: degrees are given more than once",
       [](auto& o) {
         o.layers = {{3, 4, 1}, {3, 2, 1}};
       }},
      {"layer 3: slice degree is -2",
       [](auto& o) {
         o.layers = {{3, 4, -2}};
       }},
      {"exchange hierarchical is not possible with expert degree",
       [](auto& o) {
         o.tensor_degree = 1;
         o.exchange = ExchangeKind::kHierarchical;
       }},
      {"exchange coordinated is not possible with expert degree 8, slice "
       "degree 1 and tensor degree 1",
       [](auto& o) {
         o.tensor_degree = 1;
         o.expert_degree = 8;
         o.slice_degree = 1;
         o.exchange = ExchangeKind::kCoordinated;
       }},
  };
  for (const Case& c : cases) {
    ParallelOptions options;
    c.set(options);
    const absl::Status status = Refusal(Pyramid(), 8, options);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << c.message;
    EXPECT_TRUE(absl::StrContains(status.message(), c.message))
        << c.message << "\n"
        << status;
  }
}

TEST(ParallelPlanErrorsTest, SaysWhatSpeaksAgainstAllTensorDegreesOnce) {
  ParallelOptions options;
  options.expert_degree = 8;
  EXPECT_EQ(Refusal(Pyramid(), 4, options).message(),
            "layer 1 (4 experts): expert degree 8 does not divide the number "
            "of ranks, 4");
  UniformModelConfig config = Pyramid();
  config.num_heads = config.num_kv_heads = 2;
  const absl::Status status = Refusal(config, 4, options);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(),
            "no tensor degree is possible on 4 ranks on 1 node: 0-3: layer 1 "
            "(4 experts): expert degree 8 does not divide the number of ranks, "
            "4; tensor degree 4 does not divide the 2 attention heads");
}

TEST(ParallelPlanErrorsTest, NamesWhatOfTheModelDoesNotDivide) {
  ParallelOptions options;
  options.tensor_degree = 8;
  UniformModelConfig config = Dense();
  config.num_heads = config.num_kv_heads = 12;
  EXPECT_EQ(Refusal(config, 8, options).message(),
            "tensor degree 8 does not divide the 12 attention heads");
  config = Dense();
  config.num_heads = 24;
  config.num_kv_heads = 3;
  EXPECT_EQ(Refusal(config, 8, options).message(),
            "tensor degree 8 neither divides the 3 heads of keys and values "
            "nor is a multiple");
  config = Dense();
  config.ffn_hidden_size = 8196;
  EXPECT_EQ(Refusal(config, 8, options).message(),
            "tensor degree 8 does not divide the 8196 features inside the MLP");
  options = {};
  options.expert_degree = 4;
  EXPECT_TRUE(absl::StrContains(Refusal(Dense(), 8, options).message(),
                                "the model has no MoE layers"));
  options = {};
  options.tensor_degree = 1;
  options.slice_degree = 8;
  config = WithExperts(8);
  config.ffn_hidden_size = 8196;
  EXPECT_TRUE(absl::StrContains(
      Refusal(config, 8, options).message(),
      "layer 1 (8 experts): slice degree 8 goes with no expert degree"))
      << Refusal(config, 8, options);
}

TEST(ParallelPlanErrorsTest, RefusesMeaninglessResources) {
  RankResources slow, idle;
  slow.read_bytes_per_second = 0;
  idle.decode_batch = 0;
  for (const RankResources& rank : {slow, idle}) {
    EXPECT_EQ(Refusal(Dense(), 2, {}, rank).code(),
              absl::StatusCode::kInvalidArgument);
  }
  ExchangeCosts costs = Costs();
  costs.imbalance = 0.5;
  const auto plan =
      PlanParallel(Dense(), {}, Topology::OneNode(2), costs, RankResources());
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace moe
