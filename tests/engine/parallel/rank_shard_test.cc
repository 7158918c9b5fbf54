#include "engine/parallel/rank_shard.h"

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "engine/config/parameter_count.h"
#include "engine/config/uniform_model_config.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

UniformModelConfig PyramidConfig() {
  UniformModelConfig config;
  config.family = "pr_moe";
  config.vocab_size = 101;
  config.padded_vocab_size = 128;
  config.hidden_size = 48;
  config.num_layers = 4;
  config.num_heads = 8;
  config.num_kv_heads = 2;
  config.head_dim = 6;
  config.ffn_hidden_size = 96;
  config.max_positions = 64;
  config.experts_per_layer = {0, 3, 0, 8};
  config.residual_moe = ResidualMoeKind::kB2;
  return config;
}

ParallelLayout Layout(int world, int tensor,
                      const std::vector<MoeLayerDegrees>& layers) {
  auto layout = ParallelLayout::Create(world, tensor, layers);
  EXPECT_TRUE(layout.ok()) << layout.status();
  return *layout;
}

bool operator==(const IndexRange& a, const IndexRange& b) {
  return a.begin == b.begin && a.end == b.end;
}

TEST(PartOfTest, CoversAllWithTheFirstPartsLonger) {
  for (const int64_t count : {0, 1, 5, 12, 101}) {
    for (const int64_t parts : {1, 2, 3, 7, 16}) {
      int64_t end = 0;
      for (int64_t part = 0; part < parts; ++part) {
        const IndexRange range = PartitionRange(count, part, parts);
        EXPECT_EQ(range.begin, end);
        EXPECT_EQ(range.size(), count / parts + (part < count % parts));
        end = range.end;
      }
      EXPECT_EQ(end, count);
    }
  }
}

TEST(RankShardTest, WholeHasEverything) {
  const ModelConfig config = PyramidConfig();
  const RankShard shard = RankShard::Whole(config);
  EXPECT_TRUE(shard.Heads(config.layers[0].attention) == (IndexRange{0, 8}));
  EXPECT_TRUE(shard.KvHeads(config.layers[0].attention) == (IndexRange{0, 2}));
  EXPECT_TRUE(shard.Ffn(config.layers[0].any_mlp()) == (IndexRange{0, 96}));
  EXPECT_TRUE(shard.Vocab(config) == (IndexRange{0, 101}));
  ASSERT_EQ(shard.experts.size(), 4u);
  EXPECT_EQ(shard.experts[0].num_experts, 0);
  EXPECT_EQ(shard.experts[1].num_experts, 3);
  EXPECT_EQ(shard.experts[3].num_experts, 8);
  EXPECT_TRUE(shard.adds_bias());
}

TEST(RankShardTest, TensorRanksShareHeadsFeaturesAndVocabulary) {
  const ModelConfig config = PyramidConfig();
  const ParallelLayout layout = Layout(
      4, 4, {{.layer = 1, .num_experts = 3}, {.layer = 3, .num_experts = 8}});
  // Four ranks, two key/value heads: each head is on two of them.
  const IndexRange kv[] = {{0, 1}, {0, 1}, {1, 2}, {1, 2}};
  const IndexRange vocab[] = {{0, 26}, {26, 51}, {51, 76}, {76, 101}};
  for (int rank = 0; rank < 4; ++rank) {
    const auto shard = RankShard::Of(config, layout, rank);
    ASSERT_TRUE(shard.ok()) << shard.status();
    EXPECT_EQ(shard->tensor_rank, rank);
    EXPECT_TRUE(shard->Heads(config.layers[0].attention) ==
                (IndexRange{2 * rank, 2 * rank + 2}));
    EXPECT_TRUE(shard->KvHeads(config.layers[0].attention) == kv[rank]);
    EXPECT_TRUE(shard->Ffn(config.layers[0].any_mlp()) ==
                (IndexRange{24 * rank, 24 * rank + 24}));
    EXPECT_TRUE(shard->Vocab(config) == vocab[rank]);
    EXPECT_EQ(shard->adds_bias(), rank == 0);
    const ModelConfig local = shard->LocalConfig(config);
    for (const LayerConfig& layer : local.layers) {
      EXPECT_EQ(layer.attention.num_heads, 2);
      EXPECT_EQ(layer.attention.num_kv_heads, 1);
      // Experts are cut another way.
      EXPECT_EQ(layer.any_mlp().ffn_hidden_size, layer.is_moe() ? 96 : 24);
    }
    EXPECT_EQ(local.hidden_size, 48);
    EXPECT_EQ(local.vocab_size, 101);
  }
}

TEST(RankShardTest, ExpertsGoWhereTheLayoutPlacesThem) {
  const ModelConfig config = PyramidConfig();
  // Layer 1: 3 experts over 4 ranks, 2 copies; layer 3: 4 sets of 2, halves.
  const ParallelLayout layout = Layout(
      8, 2,
      {{.layer = 1, .num_experts = 3, .expert_degree = 4},
       {.layer = 3, .num_experts = 8, .expert_degree = 4, .slice_degree = 2}});
  const int first[] = {0, 1, 2, 3}, count[] = {1, 1, 1, 0};
  for (int rank = 0; rank < 8; ++rank) {
    const auto shard = RankShard::Of(config, layout, rank);
    ASSERT_TRUE(shard.ok()) << shard.status();
    EXPECT_EQ(shard->experts[0].num_experts, 0);
    EXPECT_EQ(shard->experts[1].first_expert, first[rank % 4]);
    EXPECT_EQ(shard->experts[1].num_experts, count[rank % 4]);
    EXPECT_TRUE(shard->experts[1].Ffn(config.layers[1].any_mlp()) ==
                (IndexRange{0, 96}));
    EXPECT_TRUE(shard->experts[1].adds_bias());
    EXPECT_EQ(shard->experts[3].first_expert, rank / 2 * 2);
    EXPECT_EQ(shard->experts[3].num_experts, 2);
    const int64_t begin = rank % 2 * 48;
    EXPECT_TRUE(shard->experts[3].Ffn(config.layers[3].any_mlp()) ==
                (IndexRange{begin, begin + 48}));
    EXPECT_EQ(shard->experts[3].adds_bias(), rank % 2 == 0);
  }
}

TEST(RankShardTest, ShardsCountTheParametersOnce) {
  for (const bool swiglu : {false, true}) {
    UniformModelConfig config = PyramidConfig();
    config.num_kv_heads = 4;  // none is held twice at tensor degree 4
    if (swiglu) config.activation = ActivationKind::kSwiGlu;
    EXPECT_EQ(RankShard::Whole(config).CountParameters(config),
              CountParameters(config).total);
    const ParallelLayout layout =
        Layout(4, 4,
               {{.layer = 1, .num_experts = 3, .expert_degree = 4},
                {.layer = 3,
                 .num_experts = 8,
                 .expert_degree = 2,
                 .slice_degree = 2}});
    int64_t sum = 0;
    for (int rank = 0; rank < 4; ++rank) {
      sum += RankShard::Of(config, layout, rank)->CountParameters(config);
    }
    // Whole on all ranks: norms, gates, coefficients, positions.
    const int64_t replicated =
        9 * 2 * 48 + (3 + 8) * 48 + 2 * (2 * 48 + 2) + 64 * 48;
    EXPECT_EQ(sum, CountParameters(config).total + 3 * replicated);
  }
}

void ExpectRefused(const ModelConfig& config, const ParallelLayout& layout,
                   const std::string& message, int rank = 0) {
  const absl::Status status = RankShard::Of(config, layout, rank).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), message)) << status;
}

TEST(RankShardTest, NamesTheNumbersThatDoNotFit) {
  UniformModelConfig dense = PyramidConfig();
  dense.experts_per_layer = {0, 0, 0, 0};
  dense.residual_moe = ResidualMoeKind::kNone;
  ExpectRefused(dense, Layout(3, 3, {}),
                "tensor degree 3 does not divide the 8 attention heads");
  UniformModelConfig heads = dense;
  heads.num_heads = 12;
  heads.num_kv_heads = 6;
  ExpectRefused(heads, Layout(4, 4, {}),
                "tensor degree 4 and the 6 key/value heads (num_kv_heads): one "
                "must divide the other");
  UniformModelConfig narrow = dense;
  narrow.ffn_hidden_size = 90;
  ExpectRefused(narrow, Layout(4, 4, {}),
                "tensor degree 4 does not divide the 90 features inside");
  UniformModelConfig small = dense;
  small.vocab_size = 3;
  ExpectRefused(small, Layout(4, 4, {}),
                "tensor degree 4 is more than the 3 entries of the vocabulary");
  ExpectRefused(dense, Layout(2, 2, {}), "rank 2 is outside [0, 2)", 2);

  const UniformModelConfig moe = PyramidConfig();
  ExpectRefused(moe, Layout(2, 1, {{.layer = 1, .num_experts = 3}}),
                "the model has 2 layers with experts, the layout 1");
  ExpectRefused(
      moe,
      Layout(2, 1,
             {{.layer = 1, .num_experts = 3}, {.layer = 3, .num_experts = 7}}),
      "layer 3 has 8 experts, the layout places 7");
  UniformModelConfig odd = moe;
  odd.ffn_hidden_size = 95;
  ExpectRefused(odd,
                Layout(2, 1,
                       {{.layer = 1, .num_experts = 3},
                        {.layer = 3, .num_experts = 8, .slice_degree = 2}}),
                "layer 3: slice degree 2 does not divide the 95 features");
}

}  // namespace
}  // namespace moe
