#include <functional>
#include <limits>
#include <string>

#include "absl/strings/match.h"
#include "engine/config/model_config_check.h"
#include "engine/config/parameter_count.h"
#include "engine/config/uniform_model_config.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

// 350M+PR-MoE-32/64 of the paper.
UniformModelConfig PaperConfig() {
  UniformModelConfig config;
  config.vocab_size = 50257;
  config.padded_vocab_size = 50304;
  config.hidden_size = 1024;
  config.num_layers = 24;
  config.num_heads = config.num_kv_heads = 16;
  config.head_dim = 64;
  config.ffn_hidden_size = 4096;
  config.max_positions = 2048;
  config.experts_per_layer.assign(24, 0);
  for (int layer = 1; layer < 24; layer += 2) {
    config.experts_per_layer[layer] = layer < 20 ? 32 : 64;
  }
  config.residual_moe = ResidualMoeKind::kB2;
  return config;
}

TEST(ModelConfigTest, AcceptsThePaperModel) {
  EXPECT_TRUE(PaperConfig().Validate().ok()) << PaperConfig().Validate();
}

TEST(ModelConfigTest, AcceptsAnOddNumberOfRotaryChannels) {
  UniformModelConfig config = PaperConfig();
  config.rope = RopeConfig{.rotary_dim = 63};
  EXPECT_TRUE(config.Validate().ok()) << config.Validate();
}

TEST(ModelConfigTest, NamesTheFieldThatDoesNotFit) {
  struct Case {
    const char* field;
    std::function<void(UniformModelConfig&)> damage;
  };
  const Case cases[] = {
      {"hidden_size is 0", [](UniformModelConfig& c) { c.hidden_size = 0; }},
      {"num_layers is -1", [](UniformModelConfig& c) { c.num_layers = -1; }},
      {"num_kv_heads is 17",
       [](UniformModelConfig& c) { c.num_kv_heads = 17; }},
      {"not a multiple of num_kv_heads 3",
       [](UniformModelConfig& c) { c.num_kv_heads = 3; }},
      {"head_dim",
       [](UniformModelConfig& c) { c.head_dim = int64_t{1} << 40; }},
      {"ffn_hidden_size", [](UniformModelConfig& c) { c.ffn_hidden_size = 0; }},
      {"max_positions", [](UniformModelConfig& c) { c.max_positions = 0; }},
      {"vocab_size is 60000",
       [](UniformModelConfig& c) { c.vocab_size = 60000; }},
      {"rotary_dim is 0", [](UniformModelConfig& c) { c.rope = RopeConfig(); }},
      {"rotary_dim 63 is odd and all of head_dim",
       [](UniformModelConfig& c) {
         c.head_dim = 63;
         c.rope = RopeConfig{.rotary_dim = 63};
       }},
      {"parameters, must be at most",
       [](UniformModelConfig& c) {
         c.hidden_size = c.ffn_hidden_size = int64_t{1} << 28;
       }},
      {"rope_theta",
       [](UniformModelConfig& c) {
         c.rope = RopeConfig{
             .theta = std::numeric_limits<float>::quiet_NaN(),
             .rotary_dim = 64,
         };
       }},
      {"experts_per_layer has 23 entries",
       [](UniformModelConfig& c) { c.experts_per_layer.pop_back(); }},
      {"experts_per_layer[3] is -2",
       [](UniformModelConfig& c) { c.experts_per_layer[3] = -2; }},
      {"top_k is 33, but layer 1 has 32 experts",
       [](UniformModelConfig& c) { c.top_k = 33; }},
      {"top_k is 0", [](UniformModelConfig& c) { c.top_k = 0; }},
      {"residual_moe is set",
       [](UniformModelConfig& c) { c.experts_per_layer.assign(24, 0); }},
      {"norm_epsilon", [](UniformModelConfig& c) { c.norm.epsilon = -1; }},
  };
  for (const Case& test : cases) {
    UniformModelConfig config = PaperConfig();
    test.damage(config);
    const absl::Status status = config.Validate();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << test.field;
    EXPECT_TRUE(absl::StrContains(status.message(), test.field)) << status;
  }
}

TEST(ModelConfigTest, CountsTheParametersOfThePaperModels) {
  UniformModelConfig config = PaperConfig();
  EXPECT_NEAR(CountParameters(config).total, 4.12e9, 0.005e9);
  // One expert of each MoE layer instead of all.
  EXPECT_NEAR(CountParameters(config).active, 0.457e9, 0.001e9);

  config.residual_moe = ResidualMoeKind::kNone;
  for (int64_t& experts : config.experts_per_layer) {
    experts = experts == 0 ? 0 : 128;
  }
  EXPECT_NEAR(CountParameters(config).total, 13.15e9, 0.005e9);

  config.experts_per_layer.assign(24, 0);
  EXPECT_NEAR(CountParameters(config).total, 0.356e9, 0.0005e9);
  EXPECT_EQ(CountParameters(config).active, CountParameters(config).total);
}

TEST(ModelConfigTest, CountsGatedUntiedModelsWithoutBiases) {
  UniformModelConfig config;
  config.padded_vocab_size = 10;
  config.hidden_size = 4;
  config.num_layers = 1;
  config.num_heads = 2;
  config.num_kv_heads = 1;
  config.head_dim = 2;
  config.ffn_hidden_size = 3;
  config.norm.kind = NormKind::kRmsNorm;
  config.activation = ActivationKind::kSwiGlu;
  config.linear_bias = false;
  config.tied_embeddings = false;
  config.rope = RopeConfig();
  config.experts_per_layer = {0};
  // embedding and head, final norm, qkv, out, two norms, up and down.
  EXPECT_EQ(CountParameters(config).total,
            2 * 40 + 4 + (4 + 4) * 4 + 4 * 4 + 8 + 6 * 4 + 4 * 3);
}

}  // namespace
}  // namespace moe
