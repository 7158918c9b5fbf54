#include "engine/parallel/parallel_check.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "absl/strings/match.h"
#include "engine/config/uniform_model_config.h"

namespace moe {
namespace {

ModelConfig Model() {
  UniformModelConfig config;
  config.vocab_size = config.padded_vocab_size = 512;
  config.hidden_size = 64;
  config.num_layers = 4;
  config.num_heads = config.num_kv_heads = 4;
  config.head_dim = 16;
  config.ffn_hidden_size = 256;
  config.max_positions = 128;
  config.experts_per_layer = {0, 4, 0, 8};
  return config;
}

struct Case {
  int world_size;
  int num_nodes;
  std::function<void(ParallelOptions&)> set;
  const char* message;  // "": nothing against it
};

TEST(ParallelCheckTest, RefusesWhatTheStartWould) {
  const auto hierarchical = [](auto& o) {
    o.exchange = ExchangeKind::kHierarchical;
  };
  const Case cases[] = {
      {1, 0, [](auto&) {}, ""},
      {4, 0, [](auto&) {}, ""},
      {4, 0, [](auto& o) { o.tensor_degree = 4; }, ""},
      {4, 0, [](auto& o) { o.tensor_degree = 5; },
       "tensor degree 5 must divide the world of 4 ranks"},
      {4, 0, [](auto& o) { o.tensor_degree = 8; },
       "tensor degree 8 must divide the world of 4 ranks"},
      {8, 0, [](auto& o) { o.tensor_degree = 8; },
       "tensor degree 8 does not divide the 4 attention heads"},
      {4, 0,
       [](auto& o) {
         o.layers = {{3, 8, 1}};
       },
       "layer 3 (8 experts): expert degree 8 does not divide the number of "
       "ranks, 4"},
      {4, 1, hierarchical, "exchange hierarchical is not possible"},
      {6, 2, hierarchical, ""},
      {5, 0, hierarchical, "exchange hierarchical is not possible"},
      {1, 0, hierarchical, ""},
      {4, 0,
       [&](auto& o) {
         hierarchical(o);
         o.nodes = NodeShape{2, 2};
       },
       ""},
      {4, 2,
       [&](auto& o) {
         hierarchical(o);
         o.nodes = NodeShape{4, 1};
       },
       "exchange hierarchical is not possible"},
  };
  for (const Case& c : cases) {
    ParallelOptions options;
    c.set(options);
    const auto checked =
        CheckParallel(Model(), options, c.world_size, c.num_nodes);
    if (*c.message == 0) {
      ASSERT_TRUE(checked.ok()) << checked.status();
      EXPECT_EQ(*checked, "");
    } else {
      EXPECT_EQ(checked.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_TRUE(absl::StrContains(checked.status().message(), c.message))
          << checked.status();
    }
  }
}

TEST(ParallelCheckTest, TellsWhatTheMachinesDecide) {
  ParallelOptions options;
  options.exchange = ExchangeKind::kHierarchical;
  // The ranks of the job may be on any number of machines; on three of four, in
  // one way or another.
  for (const int num_nodes : {0, 3}) {
    const auto checked = CheckParallel(Model(), options, 4, num_nodes);
    ASSERT_TRUE(checked.ok()) << checked.status();
    EXPECT_TRUE(absl::StrContains(*checked,
                                  "possible with 2 ranks on each of 2 "
                                  "machines, but not on 1: "))
        << *checked;
  }
}

TEST(ParallelCheckTest, ManyRanksTakeNoTime) {
  ParallelOptions options;
  ASSERT_TRUE(CheckParallel(Model(), options, 65536, 0).ok());
  options.exchange = ExchangeKind::kHierarchical;
  options.tensor_degree = 4;
  options.expert_degree = 1;
  EXPECT_FALSE(CheckParallel(Model(), options, 65536, 0).ok());
}

}  // namespace
}  // namespace moe
