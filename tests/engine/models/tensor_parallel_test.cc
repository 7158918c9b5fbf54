// Every variant of the decoder on the ranks of a tensor group, against the same
// model on one rank.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/parallel/process_groups.h"
#include "engine/parallel/rank_shard.h"
#include "gtest/gtest.h"
#include "tests/engine/models/model_harness.h"
#include "tests/engine/models/tensor_ranks.h"
#include "tests/fakes/random_checkpoint.h"
#include "tests/support/golden.h"

namespace moe {
namespace {

// Of the largest logit: sums are rounded in another order.
constexpr float kRelativeTolerance = 2e-6f;
constexpr int64_t kGreedyTokens = 24;

struct Variant {
  std::string name;
  std::optional<QkvLayout> qkv_layout;
  std::optional<ResidualMoeKind> residual_moe;
  int degree = 2;
};

class TensorParallelTest : public testing::TestWithParam<Variant> {
 protected:
  std::unique_ptr<Checkpoint> Open() const {
    CheckpointOptions options;
    options.megatron.qkv_layout = GetParam().qkv_layout;
    options.megatron.residual_moe = GetParam().residual_moe;
    return OpenOrDie(TestDataPath(directory_), options);
  }
  std::vector<int32_t> Tokens() const {
    const std::vector<int32_t> all = golden_.Ints("tokens");
    return {all.begin(), all.begin() + golden_.Shape("tokens")[1]};
  }

  const std::string directory_ = "tests/goldens/models/" + GetParam().name;
  const Golden golden_ = Golden::At(directory_);
};

TEST_P(TensorParallelTest, LogitsAndGreedyTokensEqualOneRank) {
  const std::vector<int32_t> tokens = Tokens();
  const std::unique_ptr<Checkpoint> checkpoint = Open();
  ModelHarness single(*checkpoint, {});
  const std::vector<float> want = single.Prefill(tokens, 24);
  const std::vector<int32_t> prompt(tokens.begin(), tokens.begin() + 8);
  const std::vector<int32_t> want_greedy =
      single.Greedy(prompt, kGreedyTokens, 5);
  const ModelConfig config = checkpoint->config();

  for (int degree = 1; degree <= GetParam().degree; degree *= 2) {
    std::vector<std::vector<float>> logits(degree);
    std::vector<std::vector<int32_t>> greedy(degree);
    RunRanks(config, TensorLayout(config, degree),
             [&](const ModelParallel& parallel) {
               const int rank = parallel.shard.tensor_rank;
               ModelHarness harness(*Open(), {.parallel = &parallel});
               logits[rank] = harness.Prefill(tokens, 24);
               // Cut in another way, to the same bits.
               EXPECT_EQ(harness.Prefill(tokens, 7), logits[rank]);
               greedy[rank] = harness.Greedy(prompt, kGreedyTokens, 5);
             });
    if (degree == 1) {
      EXPECT_EQ(logits[0], want);
    }
    for (int rank = 0; rank < degree; ++rank) {
      EXPECT_LE(MaxDifference(logits[rank], want) / Largest(want),
                kRelativeTolerance)
          << "degree " << degree;
      EXPECT_EQ(logits[rank], logits[0]);
      EXPECT_EQ(greedy[rank], want_greedy) << "degree " << degree;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Variants, TensorParallelTest,
    testing::Values(
        Variant{"dense", std::nullopt, std::nullopt, 4},
        Variant{"dense_gelu_erf", std::nullopt, std::nullopt, 4},
        Variant{"dense_squared_relu", std::nullopt, std::nullopt, 4},
        Variant{"dense_swiglu", std::nullopt, std::nullopt, 4},
        Variant{"dense_rmsnorm_no_bias_untied", std::nullopt, std::nullopt, 4},
        Variant{"dense_layernorm_1p", std::nullopt, std::nullopt, 4},
        Variant{"dense_post_norm", std::nullopt, std::nullopt, 4},
        Variant{"dense_qkv_version_0", std::nullopt, std::nullopt, 4},
        Variant{"dense_qkv_version_1", std::nullopt, std::nullopt, 4},
        Variant{"dense_qkv_all_q_all_k_all_v", QkvLayout::kQKV, std::nullopt,
                4},
        Variant{"dense_gqa", std::nullopt, std::nullopt, 4},
        Variant{"dense_gqa_q_k_v", QkvLayout::kQKV, std::nullopt, 4},
        Variant{"dense_rotary", std::nullopt, std::nullopt, 4},
        Variant{"dense_rotary_partial", std::nullopt, std::nullopt, 4},
        Variant{"moe_top1", std::nullopt, std::nullopt, 4},
        Variant{"moe_top2", std::nullopt, std::nullopt, 4},
        Variant{"moe_pyramid", std::nullopt, std::nullopt, 4},
        Variant{"prmoe_a", std::nullopt, std::nullopt, 4},
        Variant{"prmoe_b1", std::nullopt, ResidualMoeKind::kB1, 4},
        Variant{"prmoe_b2", std::nullopt, std::nullopt, 4},
        Variant{"prmoe_b2_swiglu_top2", std::nullopt, std::nullopt, 4},
        Variant{"moe_llama_like", std::nullopt, std::nullopt, 4}),
    [](const testing::TestParamInfo<Variant>& info) {
      return info.param.name;
    });

// Two data ranks of two tensor ranks each; rows on either, both or none.
TEST(DataParallelTest, EmptySharesAreStepsToo) {
  const ModelConfig config = SmallDenseConfig();
  const RandomCheckpoint checkpoint(config);
  ModelHarness single(checkpoint, {});
  const std::vector<int32_t> tokens = {5, 17, 100, 3, 42};
  const std::vector<float> want = single.Prefill(tokens, 5);
  const ParallelLayout layout = *ParallelLayout::Create(4, 2, {});
  RunRanks(config, layout, [&](const ModelParallel& parallel) {
    ModelHarness harness(checkpoint, {.parallel = &parallel});
    const int data_rank = parallel.groups->data().rank();
    for (const std::vector<int32_t>& rows :
         std::vector<std::vector<int32_t>>{{5, 0}, {0, 5}, {5, 5}}) {
      std::vector<ModelHarness::Slice> slices;
      if (rows[data_rank] > 0) {
        slices.push_back({.tokens = tokens,
                          .start_position = 0,
                          .block_ids = harness.Blocks(5, 0)});
      }
      const std::vector<float> got = harness.Step(slices, nullptr, rows);
      if (rows[data_rank] == 0) {
        EXPECT_TRUE(got.empty());
      } else {
        EXPECT_LE(MaxDifference(got, want) / Largest(want), kRelativeTolerance);
      }
    }
    Batch batch;
    const auto refused = [&](const std::vector<int32_t>& rows,
                             const std::string& message) {
      batch.rows_on_data_ranks = rows;
      const absl::Status status =
          harness.model().Forward(batch, harness.cache(), {}, nullptr);
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_TRUE(absl::StrContains(status.message(), message)) << status;
    };
    refused({}, "rows_on_data_ranks is empty, must have 2 entries");
    refused({0, 0}, "0 rows, must be in [1, 128]");
    refused({1, 0, 0}, "rows_on_data_ranks has 3 entries, must have 2");
    refused({1, -1}, "data rank 1 has -1 rows, must be in [0, 128]");
    refused({129, 0}, "data rank 0 has 129 rows");
    refused({3, 3}, absl::StrCat("0 rows, but rows_on_data_ranks[", data_rank,
                                 "] is 3"));
  });
}

TEST(TensorParallelBf16Test, OddVocabulariesAndReplicatedHeads) {
  UniformModelConfig config = SmallDenseConfig();
  config.num_kv_heads = 1;
  config.tied_embeddings = false;
  config.activation = ActivationKind::kSwiGlu;
  config.rope = RopeConfig{.rotary_dim = 12};
  const RandomCheckpoint checkpoint(config, DType::kBf16);
  ModelHarness single(checkpoint, {.weight_dtype = DType::kBf16});
  std::vector<int32_t> tokens;
  for (int32_t t = 0; t < 101; ++t) tokens.push_back(t);
  const std::vector<float> want = single.Prefill(tokens, 128);
  RunRanks(config, TensorLayout(config, 4), [&](const ModelParallel& parallel) {
    ModelHarness harness(checkpoint,
                         {.weight_dtype = DType::kBf16, .parallel = &parallel});
    EXPECT_LE(MaxDifference(harness.Prefill(tokens, 128), want) / Largest(want),
              kRelativeTolerance);
  });
}

// Heads, features, activations, positions and experts of one layer are no other
// layer's.
TEST(LayersThatDifferTest, RunOnOneRankAndOnTensorRanks) {
  ModelConfig config = SmallPrMoeConfig();
  config.layers[0].attention = {
      .num_heads = 8, .num_kv_heads = 2, .head_dim = 10};
  config.layers[0].residual_post_norm = true;
  config.layers[1].attention.rope = RopeConfig{.rotary_dim = 6};
  config.layers[2].attention.rope =
      RopeConfig{.theta = 500.0f, .rotary_dim = 12};
  config.layers[2].mlp = MlpConfig{.ffn_hidden_size = 40,
                                   .activation = ActivationKind::kSwiGlu,
                                   .has_bias = false};
  config.layers[2].mlp_norm.kind = NormKind::kRmsNorm;
  MoeConfig& moe = config.layers[3].moe();
  moe.top_k = 2;
  moe.mlp.ffn_hidden_size = 56;
  moe.mlp.activation = ActivationKind::kGeluErf;
  moe.residual = ResidualMoeKind::kNone;
  const RandomCheckpoint checkpoint(config);
  ModelHarness single(checkpoint, {});
  std::vector<int32_t> tokens;
  for (int32_t t = 0; t < 40; ++t) tokens.push_back(t * 7 % 101);
  RoutingTrace trace;
  const std::vector<float> want = single.Prefill(tokens, 128, 0, &trace);
  EXPECT_EQ(trace.expert_ids[1].size(), tokens.size());
  EXPECT_EQ(trace.expert_ids[3].size(), 2 * tokens.size());
  // However the prompt is cut.
  EXPECT_EQ(single.Prefill(tokens, 7, 20), want);
  RunRanks(config, TensorLayout(config, 2), [&](const ModelParallel& parallel) {
    ModelHarness harness(checkpoint, {.parallel = &parallel});
    EXPECT_LE(MaxDifference(harness.Prefill(tokens, 128), want) / Largest(want),
              kRelativeTolerance);
  });
}

}  // namespace
}  // namespace moe
