// Opens every form of checkpoint that some release wrote and looks where each
// single value went (see make_variants.py of the goldens for the values).

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/checkpoint/torch/crc32.h"
#include "engine/config/uniform_model_config.h"
#include "engine/config/weight_inventory.h"
#include "engine/loading/open_checkpoint.h"
#include "gtest/gtest.h"
#include "tests/support/golden.h"
#include "tests/support/weight_values.h"

namespace moe {
namespace {

std::string VariantDirectory(const std::string& name) {
  return GoldenDirectory("variants/" + name);
}

std::vector<float> ExpectedValues(const WeightSpec& spec) {
  std::vector<float> values;
  const auto base = static_cast<float>(Crc32(spec.name) % 100 * 100000);
  const int64_t columns = spec.dims.size() == 2 ? spec.dims[1] : 1;
  for (int64_t r = 0; r < spec.dims[0]; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      values.push_back(base + static_cast<float>(r * 100 + c));
    }
  }
  return values;
}

class VariantCheckpointsTest : public testing::TestWithParam<const char*> {};

TEST_P(VariantCheckpointsTest, EveryValueIsInItsPlace) {
  const auto checkpoint = OpenCheckpoint(VariantDirectory(GetParam()));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const ModelConfig& config = (*checkpoint)->config();
  EXPECT_EQ(config.hidden_size, 16);
  EXPECT_EQ(config.layers[0].any_mlp().ffn_hidden_size, 24);
  EXPECT_EQ(config.padded_vocab_size, 48);
  EXPECT_EQ(config.vocab_size, 48);  // the files tell no other
  EXPECT_EQ(config.max_positions, 8);
  const std::vector<WeightSpec> weights = WeightInventory(config).All();
  EXPECT_GT(weights.size(), 20u);
  for (const WeightSpec& spec : weights) {
    const auto weight = (*checkpoint)->Get(spec.name);
    ASSERT_TRUE(weight.ok()) << weight.status();
    EXPECT_EQ(WeightValues(weight->view), ExpectedValues(spec)) << spec.name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Files, VariantCheckpointsTest,
    testing::Values("residual_a", "residual_a_tp2", "residual_b_flat", "strays",
                    "swiglu_gqa_tp2", "expert_slices", "expert_slices_swiglu",
                    "replicas_differ", "q_k_v_tp2", "gqa_separate_tp2",
                    "old_experts_version_1", "version_0", "not_zip",
                    "not_zip_transposed", "shared_storage", "transposed",
                    "file_object"),
    [](const auto& info) { return std::string(info.param); });

UniformModelConfig ConfigOf(const std::string& name,
                            const CheckpointOptions& options = {}) {
  const auto checkpoint = OpenCheckpoint(VariantDirectory(name), options);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto config = UniformModelConfig::Of(
      checkpoint.ok() ? (*checkpoint)->config() : ModelConfig());
  EXPECT_TRUE(config.has_value());
  return config.value_or(UniformModelConfig());
}

std::vector<std::string> WarningsOf(const std::string& name) {
  const auto checkpoint = OpenCheckpoint(VariantDirectory(name));
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return checkpoint.ok() ? (*checkpoint)->warnings()
                         : std::vector<std::string>();
}

TEST(VariantConfigTest, ResidualKindsAreToldByTheirNames) {
  EXPECT_EQ(ConfigOf("residual_a").residual_moe, ResidualMoeKind::kA);
  EXPECT_EQ(ConfigOf("residual_a_tp2").residual_moe, ResidualMoeKind::kA);
  EXPECT_EQ(ConfigOf("residual_b_flat").residual_moe, ResidualMoeKind::kB2);
  EXPECT_EQ(ConfigOf("strays").residual_moe, ResidualMoeKind::kNone);
}

TEST(VariantConfigTest, MissingArgumentsHaveMegatronsDefaults) {
  const UniformModelConfig config = ConfigOf("residual_a");
  EXPECT_EQ(config.num_kv_heads, 4);
  EXPECT_EQ(config.norm.kind, NormKind::kLayerNorm);
  EXPECT_EQ(config.activation, ActivationKind::kGeluTanh);
  EXPECT_FALSE(config.rope.has_value());
  EXPECT_TRUE(config.linear_bias);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_FLOAT_EQ(config.norm.epsilon, 1e-5f);
}

TEST(VariantConfigTest, ModernOptionsAreRead) {
  const UniformModelConfig config = ConfigOf("swiglu_gqa_tp2");
  EXPECT_EQ(config.activation, ActivationKind::kSwiGlu);
  EXPECT_EQ(config.norm.kind, NormKind::kRmsNorm);
  EXPECT_EQ(config.num_kv_heads, 2);
  EXPECT_FALSE(config.linear_bias);
  EXPECT_FALSE(config.tied_embeddings);
  ASSERT_TRUE(config.rope.has_value());
  EXPECT_EQ(config.rope->rotary_dim, 2);
  EXPECT_FLOAT_EQ(config.rope->theta, 500000);
  EXPECT_EQ(config.experts_per_layer, (std::vector<int64_t>{0, 4}));
}

TEST(VariantConfigTest, OverridesWin) {
  EXPECT_EQ(ConfigOf("residual_b_flat",
                     {.megatron = {.residual_moe = ResidualMoeKind::kB1}})
                .residual_moe,
            ResidualMoeKind::kB1);
  EXPECT_EQ(ConfigOf("residual_b_flat",
                     {.megatron = {.residual_moe = ResidualMoeKind::kA}})
                .residual_moe,
            ResidualMoeKind::kA);
  EXPECT_EQ(
      ConfigOf("strays", {.megatron = {.activation = ActivationKind::kGeluErf}})
          .activation,
      ActivationKind::kGeluErf);
  EXPECT_EQ(ConfigOf("strays", {.vocab_size = 41}).vocab_size, 41);
  EXPECT_TRUE(
      ConfigOf("swiglu_gqa_tp2", {.megatron = {.rope_double_cos_quirk = true}})
          .rope->double_cos_quirk);
}

TEST(VariantConfigTest, QkvOverrideReordersTheRows) {
  // Read as all q, all k, all v, row 4 of the file stays where it is; it is
  // the first key row of head 0.
  const auto checkpoint =
      OpenCheckpoint(VariantDirectory("strays"),
                     {.megatron = {.qkv_layout = QkvLayout::kQKV}});
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto weight = (*checkpoint)->Get("layers.0.attention.qkv.bias");
  ASSERT_TRUE(weight.ok()) << weight.status();
  const float base =
      static_cast<float>(Crc32("layers.0.attention.qkv.bias") % 100 * 100000);
  EXPECT_EQ(WeightValues(weight->view)[4], base + 16 * 100);
}

struct BadOption {
  const char* checkpoint;
  CheckpointOptions options;
  const char* message;
};

TEST(VariantConfigTest, OverridesThatDoNotFitAreRefused) {
  const BadOption bad[] = {
      {"strays",
       {.megatron = {.residual_moe = ResidualMoeKind::kB2}},
       "no residual MoE"},
      {"residual_a",
       {.megatron = {.residual_moe = ResidualMoeKind::kNone}},
       "residual_moe is set to 'none'"},
      {"strays",
       {.megatron = {.activation = ActivationKind::kSquaredRelu}},
       "activation is set to 'squared_relu'"},
      {"swiglu_gqa_tp2",
       {.megatron = {.activation = ActivationKind::kGeluErf}},
       "no GELU"},
      {"swiglu_gqa_tp2",
       {.megatron = {.qkv_layout = QkvLayout::kVersion1}},
       "no grouped-query form"},
      {"strays", {.megatron = {.rope_double_cos_quirk = true}}, "not rotary"},
      {"strays", {.vocab_size = 49}, "vocab_size is set to 49"},
      {"strays", {.vocab_size = -1}, "vocab_size is set to -1"},
  };
  for (const BadOption& test : bad) {
    const absl::Status status =
        OpenCheckpoint(VariantDirectory(test.checkpoint), test.options)
            .status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), test.message)) << status;
  }
}

TEST(VariantWarningsTest, DifferingReplicasAreNamedWithTheDifference) {
  const std::vector<std::string> warnings = WarningsOf("replicas_differ");
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_TRUE(absl::StrContains(warnings[0], "layers.1.mlp.up.weight"));
  EXPECT_TRUE(absl::StrContains(warnings[0], "by up to 0.5"));
  EXPECT_TRUE(absl::StrContains(warnings[0], "mp_rank_01"));
}

TEST(VariantWarningsTest, StrayExpertsAreCounted) {
  ASSERT_EQ(WarningsOf("strays").size(), 1u);
  EXPECT_TRUE(absl::StrContains(WarningsOf("strays")[0],
                                "1 tensors ignored, as experts"))
      << WarningsOf("strays")[0];
  EXPECT_TRUE(
      absl::StrContains(WarningsOf("residual_b_flat")[0], "2 tensors ignored"));
}

TEST(VariantWarningsTest, CleanFilesHaveNone) {
  EXPECT_TRUE(WarningsOf("expert_slices").empty());
  EXPECT_TRUE(WarningsOf("residual_a_tp2").empty());
}

}  // namespace
}  // namespace moe
