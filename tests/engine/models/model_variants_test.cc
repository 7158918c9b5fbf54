// Every variant of the decoder against an independent PyTorch computation
// (tools/training/make_model_goldens.py).

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/models/model_harness.h"
#include "tests/support/golden.h"

namespace moe {
namespace {

constexpr int64_t kSequences = 2;
constexpr float kF32Tolerance = 1e-4f;
constexpr float kBf16RelativeTolerance = 2e-2f;

struct Variant {
  std::string name;
  // What the files can't tell.
  std::optional<QkvLayout> qkv_layout;
  std::optional<ResidualMoeKind> residual_moe;
};

class ModelVariantsTest : public testing::TestWithParam<Variant> {
 protected:
  ModelHarness Load(DType dtype) {
    CheckpointOptions options;
    options.megatron.qkv_layout = GetParam().qkv_layout;
    options.megatron.residual_moe = GetParam().residual_moe;
    return ModelHarness(*OpenOrDie(TestDataPath(directory_), options),
                        {.weight_dtype = dtype, .max_rows = 64});
  }
  std::vector<int32_t> Tokens(const std::string& name, int64_t i) const {
    const std::vector<int32_t> all = golden_.Ints(name);
    const int64_t length = golden_.Shape(name)[1];
    return {all.begin() + i * length, all.begin() + (i + 1) * length};
  }
  std::vector<float> Logits(int64_t i) const {
    const std::vector<float> all = golden_.Floats("logits");
    const size_t n = all.size() / kSequences;
    return {all.begin() + i * n, all.begin() + (i + 1) * n};
  }

  const std::string directory_ = "tests/goldens/models/" + GetParam().name;
  const Golden golden_ = Golden::At(directory_);
};

TEST_P(ModelVariantsTest, F32LogitsEqualPyTorch) {
  ModelHarness harness = Load(DType::kF32);
  for (int64_t i = 0; i < kSequences; ++i) {
    for (int64_t chunk : {24, 7}) {
      EXPECT_LE(
          MaxDifference(harness.Prefill(Tokens("tokens", i), chunk), Logits(i)),
          kF32Tolerance)
          << "sequence " << i << " in chunks of " << chunk;
    }
  }
}

TEST_P(ModelVariantsTest, Bf16LogitsAreNearPyTorch) {
  ModelHarness harness = Load(DType::kBf16);
  for (int64_t i = 0; i < kSequences; ++i) {
    const std::vector<float> want = Logits(i);
    float largest = 0;
    for (float x : want) largest = std::max(largest, std::abs(x));
    EXPECT_LE(
        MaxDifference(harness.Prefill(Tokens("tokens", i), 24), want) / largest,
        kBf16RelativeTolerance)
        << "sequence " << i;
  }
}

TEST_P(ModelVariantsTest, RoutingEqualsPyTorch) {
  ModelHarness harness = Load(DType::kF32);
  const ModelConfig& config = harness.config();
  for (int64_t i = 0; i < kSequences; ++i) {
    RoutingTrace trace;
    harness.Prefill(Tokens("tokens", i), 24, 0, &trace);
    for (int64_t layer = 0; layer < config.num_layers(); ++layer) {
      const std::string name = "route_layer" + std::to_string(layer);
      ASSERT_EQ(golden_.Has(name + "_experts"), config.is_moe_layer(layer));
      if (!config.is_moe_layer(layer)) continue;
      const std::vector<int32_t> experts = golden_.Ints(name + "_experts");
      const std::vector<float> weights = golden_.Floats(name + "_weights");
      const size_t n = trace.expert_ids[layer].size();
      ASSERT_EQ(n * kSequences, experts.size());
      for (size_t k = 0; k < n; ++k) {
        EXPECT_EQ(trace.expert_ids[layer][k], experts[i * n + k]);
        EXPECT_NEAR(trace.weights[layer][k], weights[i * n + k], 1e-5f);
      }
    }
  }
}

// The variants whose goldens have greedy tokens.
class GreedyTest : public ModelVariantsTest {};

TEST_P(GreedyTest, TwoHundredTokensEqualPyTorch) {
  ModelHarness harness = Load(DType::kF32);
  const std::vector<int32_t> want = Tokens("greedy", 0);
  ASSERT_EQ(want.size(), 200u);
  EXPECT_EQ(harness.Greedy(Tokens("prompts", 0), 200, 5), want);
}

INSTANTIATE_TEST_SUITE_P(
    Variants, ModelVariantsTest,
    testing::Values(
        Variant{"dense", std::nullopt, std::nullopt},
        Variant{"dense_gelu_erf", std::nullopt, std::nullopt},
        Variant{"dense_squared_relu", std::nullopt, std::nullopt},
        Variant{"dense_swiglu", std::nullopt, std::nullopt},
        Variant{"dense_rmsnorm_no_bias_untied", std::nullopt, std::nullopt},
        Variant{"dense_layernorm_1p", std::nullopt, std::nullopt},
        Variant{"dense_post_norm", std::nullopt, std::nullopt},
        Variant{"dense_qkv_version_0", std::nullopt, std::nullopt},
        Variant{"dense_qkv_version_1", std::nullopt, std::nullopt},
        Variant{"dense_qkv_all_q_all_k_all_v", QkvLayout::kQKV, std::nullopt},
        Variant{"dense_gqa", std::nullopt, std::nullopt},
        Variant{"dense_gqa_q_k_v", QkvLayout::kQKV, std::nullopt},
        Variant{"dense_rotary", std::nullopt, std::nullopt},
        Variant{"dense_rotary_partial", std::nullopt, std::nullopt},
        Variant{"moe_top1", std::nullopt, std::nullopt},
        Variant{"moe_top2", std::nullopt, std::nullopt},
        Variant{"moe_top3_every_layer", std::nullopt, std::nullopt},
        Variant{"moe_pyramid", std::nullopt, std::nullopt},
        Variant{"prmoe_a", std::nullopt, std::nullopt},
        Variant{"prmoe_b1", std::nullopt, ResidualMoeKind::kB1},
        Variant{"prmoe_b2", std::nullopt, std::nullopt},
        Variant{"prmoe_b2_swiglu_top2", std::nullopt, std::nullopt},
        Variant{"moe_llama_like", std::nullopt, std::nullopt},
        Variant{"dense_odd_sizes", std::nullopt, std::nullopt},
        Variant{"prmoe_odd_sizes", QkvLayout::kQKV, std::nullopt}),
    [](const testing::TestParamInfo<Variant>& info) {
      return info.param.name;
    });

INSTANTIATE_TEST_SUITE_P(
    Variants, GreedyTest,
    testing::Values(Variant{"dense", std::nullopt, std::nullopt},
                    Variant{"moe_top2", std::nullopt, std::nullopt},
                    Variant{"prmoe_b2", std::nullopt, std::nullopt},
                    Variant{"moe_llama_like", std::nullopt, std::nullopt}),
    [](const testing::TestParamInfo<Variant>& info) {
      return info.param.name;
    });

}  // namespace
}  // namespace moe
