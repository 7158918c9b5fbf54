// Loads every checkpoint that the real Megatron-DeepSpeed wrote and compares
// with what Megatron-DeepSpeed itself computes from it.

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/models/model_harness.h"
#include "tests/support/golden.h"

namespace moe {
namespace {

constexpr int64_t kSequences = 2;
constexpr float kLogitTolerance = 1e-4f;
constexpr float kRoutingWeightTolerance = 1e-5f;

class MegatronGoldensTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    CheckpointOptions options;
    options.megatron.rope_double_cos_quirk =
        GetParam() == "moe_rotary_head_quirk";
    checkpoint_ = OpenOrDie(GoldenDirectory(GetParam()), options);
    harness_ = std::make_unique<ModelHarness>(
        *checkpoint_, ModelHarness::Options{.block_size = 8});
  }

  // Sequence `i` of an i32 array [sequences, length].
  std::vector<int32_t> Tokens(const std::string& name, int64_t i) const {
    const std::vector<int32_t> all = golden_.Ints(name);
    const int64_t length = golden_.Shape(name)[1];
    return {all.begin() + i * length, all.begin() + (i + 1) * length};
  }

  // Expected logits of sequence `i` without the padding columns.
  std::vector<float> Logits(int64_t i) const {
    const std::vector<float> all = golden_.Floats("logits");
    const std::vector<int64_t> shape = golden_.Shape("logits");
    const int64_t vocab = harness_->config().vocab_size;
    std::vector<float> logits;
    for (int64_t t = 0; t < shape[1]; ++t) {
      const auto row = all.begin() + (i * shape[1] + t) * shape[2];
      logits.insert(logits.end(), row, row + vocab);
    }
    return logits;
  }

  Golden golden_{GetParam()};
  std::unique_ptr<Checkpoint> checkpoint_;
  std::unique_ptr<ModelHarness> harness_;
};

TEST_P(MegatronGoldensTest, LogitsInOneStepInChunksAndTokenByToken) {
  EXPECT_EQ(harness_->config().vocab_size, 501);
  for (int64_t i = 0; i < kSequences; ++i) {
    const std::vector<float> want = Logits(i);
    for (int64_t chunk : {32, 7, 1}) {
      const std::vector<float> got =
          harness_->Prefill(Tokens("tokens", i), chunk);
      EXPECT_LE(MaxDifference(got, want), kLogitTolerance)
          << "sequence " << i << " in chunks of " << chunk;
    }
  }
}

TEST_P(MegatronGoldensTest, RoutingOfEveryTokenAndLayer) {
  const ModelConfig& config = harness_->config();
  int64_t moe_layers = 0;
  for (int64_t i = 0; i < kSequences; ++i) {
    RoutingTrace trace;
    harness_->Prefill(Tokens("tokens", i), 7, 0, &trace);
    for (int64_t layer = 0; layer < config.num_layers(); ++layer) {
      if (!config.is_moe_layer(layer)) {
        EXPECT_TRUE(trace.expert_ids[layer].empty());
        continue;
      }
      ++moe_layers;
      const std::string name = "route_layer" + std::to_string(layer);
      const std::vector<int32_t> experts = golden_.Ints(name + "_experts");
      const std::vector<float> weights = golden_.Floats(name + "_weights");
      const size_t n = experts.size() / kSequences;
      ASSERT_EQ(n, trace.expert_ids[layer].size());
      for (size_t k = 0; k < n; ++k) {
        EXPECT_EQ(trace.expert_ids[layer][k], experts[i * n + k])
            << "layer " << layer << " slot " << k;
        EXPECT_NEAR(trace.weights[layer][k], weights[i * n + k],
                    kRoutingWeightTolerance)
            << "layer " << layer << " slot " << k;
      }
    }
  }
  EXPECT_EQ(moe_layers > 0, GetParam() != "dense_head");
}

TEST_P(MegatronGoldensTest, GreedyTokensOver24Steps) {
  for (int64_t i = 0; i < kSequences; ++i) {
    for (int64_t chunk : {16, 7, 1}) {
      EXPECT_EQ(harness_->Greedy(Tokens("prompts", i), 24, chunk),
                Tokens("greedy", i))
          << "sequence " << i << " in chunks of " << chunk;
      EXPECT_EQ(harness_->Greedy(Tokens("prompts", i), 24, chunk, true),
                Tokens("norepeat", i))
          << "sequence " << i << " in chunks of " << chunk;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, MegatronGoldensTest,
    testing::Values("dense_head", "moe_gqa_pre", "moe_paper_era",
                    "moe_rotary_head_quirk", "moe_top2_head", "moe_top4_pre",
                    "moe_untied_pre", "prmoe_bf16_zero1_pre", "prmoe_head",
                    "prmoe_tp2_ep2_head"),
    [](const testing::TestParamInfo<std::string>& info) { return info.param; });

}  // namespace
}  // namespace moe
