#include "engine/loading/rank_memory.h"

#include <vector>

#include "comm/topology.h"
#include "engine/config/uniform_model_config.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

constexpr int64_t kHidden = 24;
constexpr int64_t kRows = 10;

struct BoundCase {
  int world, tensor, experts, ep, es;
  NodeShape nodes;
  int top_k = 1;
};

ModelConfig Model(const BoundCase& c) {
  UniformModelConfig model;
  model.hidden_size = kHidden;
  model.ffn_hidden_size = 48;
  model.num_layers = 1;
  model.vocab_size = 100;
  model.experts_per_layer = {c.experts};
  model.top_k = c.top_k;
  return model;
}

StepSize Size(const BoundCase& c) {
  return {.max_rows = kRows,
          .max_logit_rows = 3,
          .data_degree = c.world / c.tensor,
          .gathers_logits = false,
          .num_nodes = c.nodes.num_nodes,
          .ranks_per_node = c.nodes.ranks_per_node};
}

TEST(RankMemoryTest, AloneAStepNeedsMemoryForLogitsOnly) {
  BoundCase c = {1, 1, 4, 1, 1, {1, 1}};
  StepSize size = Size(c);
  size.gathers_logits = true;
  EXPECT_EQ(MaxStepBytes(Model(c), RankShard::Whole(Model(c)), {}, size),
            3 * 100 * 4);
}

TEST(RankMemoryTest, ExpertsOfOthersRowsTakeWhatTheBuffersGrowTo) {
  // 4 data ranks, 2 experts on each of 4: 40 rows of one slot.
  const BoundCase c = {4, 1, 8, 4, 1, {1, 4}};
  const ModelConfig model = Model(c);
  RankShard shard = RankShard::Whole(model);
  shard.experts[0] = {0, 2, 0, 1};
  const std::vector<MoeLayerDegrees> layers = {{0, 8, 4, 1}};
  const int64_t own = 10, all = 40, stride = 32;    // of 24 numbers and an id
  int64_t elements = (all * 24 * 3 / 2 - own * 24)  // what experts give
                     + (all * 48 * 3 / 2 - own * 48);  // inside of them
  elements += all * 24 * 3 / 2        // packed: results that return
              + all * stride * 3 / 2  // received
              + own * 24 * 3 / 2;     // results of the rank's own rows
  // Two tables of the received rows, and the offsets of two.
  elements += (2 * all + 2 * 3) * 3 / 2;
  elements += 3 * 100;  // logits
  EXPECT_EQ(MaxStepBytes(model, shard, layers, Size(c)), elements * 4);
  // Twice the rows, but for logits and what is there before.
  StepSize twice = Size(c);
  twice.max_rows *= 2;
  const int64_t offsets = 2 * 3 * 3 / 2;
  EXPECT_EQ(MaxStepBytes(model, shard, layers, twice),
            (2 * (elements - 300 - offsets) + 300 + offsets) * 4);
  // Rank 0 has everybody's logits.
  StepSize driver = Size(c);
  driver.gathers_logits = true;
  EXPECT_EQ(MaxStepBytes(model, shard, layers, driver),
            (elements + 3 * 300) * 4);
}

}  // namespace
}  // namespace moe
