#include "engine/config/weight_inventory.h"

#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/config/parameter_count.h"
#include "engine/config/uniform_model_config.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

UniformModelConfig Pyramid() {
  UniformModelConfig config;
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

std::set<std::string> Names(const ModelConfig& config) {
  std::set<std::string> names;
  for (const WeightSpec& weight : WeightInventory(config).All()) {
    EXPECT_TRUE(names.insert(weight.name).second) << weight.name;
  }
  return names;
}

TEST(WeightInventoryTest, FindsEachWeightByItsName) {
  const WeightInventory inventory(Pyramid());
  for (const WeightSpec& weight : inventory.All()) {
    const auto found = inventory.Find(weight.name);
    ASSERT_TRUE(found.has_value()) << weight.name;
    EXPECT_EQ(found->name, weight.name);
    EXPECT_EQ(found->dims, weight.dims);
    EXPECT_EQ(found->kind, weight.kind);
    EXPECT_EQ(found->partition, weight.partition);
    EXPECT_EQ(found->layer, weight.layer);
    EXPECT_EQ(found->expert, weight.expert);
  }
  for (const char* name :
       {"", "nonsense", "output.weight", "layers.4.mlp.up.weight",
        "layers.-1.mlp.up.weight", "layers.0.moe.gate.weight",
        "layers.1.experts.3.up.weight", "layers.1.experts.-1.up.weight",
        "layers.0.experts.0.up.weight", "layers.1.experts.0.", "layers.1"}) {
    EXPECT_FALSE(inventory.Find(name).has_value()) << name;
  }
}

TEST(WeightInventoryTest, HasWhatTheConfigurationAsksFor) {
  const std::set<std::string> names = Names(Pyramid());
  EXPECT_EQ(names.count("position_embedding.weight"), 1u);
  EXPECT_EQ(names.count("layers.0.mlp.down.bias"), 1u);
  EXPECT_EQ(names.count("layers.1.mlp.down.bias"), 1u);  // the residual MLP
  EXPECT_EQ(names.count("layers.1.moe.coefficient.bias"), 1u);
  EXPECT_EQ(names.count("layers.3.experts.7.up.weight"), 1u);

  UniformModelConfig plain = Pyramid();
  plain.residual_moe = ResidualMoeKind::kNone;
  plain.linear_bias = false;
  plain.tied_embeddings = false;
  plain.norm.kind = NormKind::kRmsNorm;
  plain.rope = RopeConfig{.rotary_dim = 6};
  for (const std::string& name : Names(plain)) {
    EXPECT_FALSE(name.ends_with(".bias")) << name;
    EXPECT_EQ(name.find("coefficient"), std::string::npos) << name;
    EXPECT_NE(name, "layers.1.mlp.up.weight");
    EXPECT_NE(name, "position_embedding.weight");
  }
  EXPECT_EQ(Names(plain).count("output.weight"), 1u);

  UniformModelConfig variant_a = Pyramid();
  variant_a.residual_moe = ResidualMoeKind::kA;
  EXPECT_EQ(Names(variant_a).count("layers.1.moe.coefficient.weight"), 1u);
  EXPECT_EQ(Names(variant_a).count("layers.1.moe.coefficient.bias"), 0u);
}

TEST(WeightInventoryTest, TheOutputMatrixIsTheEmbeddingIfTied) {
  UniformModelConfig config = Pyramid();
  EXPECT_EQ(WeightInventory(config).output().name, "embedding.weight");
  config.tied_embeddings = false;
  const WeightInventory untied(config);
  EXPECT_EQ(untied.output().name, "output.weight");
  EXPECT_EQ(untied.output().dims, (std::vector<int64_t>{128, 48}));
}

TEST(WeightInventoryTest, LayersMayDiffer) {
  ModelConfig config = Pyramid();
  config.layers[0].attention.num_heads = 4;
  config.layers[2].mlp =
      MlpConfig{.ffn_hidden_size = 40, .activation = ActivationKind::kSwiGlu};
  const WeightInventory inventory(config);
  EXPECT_EQ(inventory.Find("layers.0.attention.qkv.weight")->dims,
            (std::vector<int64_t>{(4 + 2 * 2) * 6, 48}));
  EXPECT_EQ(inventory.Find("layers.1.attention.qkv.weight")->dims,
            (std::vector<int64_t>{(8 + 2 * 2) * 6, 48}));
  EXPECT_EQ(inventory.Find("layers.2.mlp.up.weight")->dims,
            (std::vector<int64_t>{80, 48}));
  EXPECT_EQ(inventory.Find("layers.2.mlp.down.weight")->dims,
            (std::vector<int64_t>{48, 40}));
}

TEST(WeightInventoryTest, CountsAreOfAllOfIt) {
  const ModelConfig config = Pyramid();
  int64_t total = 0, visited = 0;
  const WeightInventory inventory(config);
  for (const WeightSpec& weight : inventory.All()) {
    total += weight.num_elements();
  }
  inventory.ForEach([&](const WeightSpec& weight, int64_t num_experts) {
    visited += num_experts * weight.num_elements();
  });
  EXPECT_EQ(total, CountParameters(config).total);
  EXPECT_EQ(visited, total);
  EXPECT_EQ(EstimateParameters(config), static_cast<double>(total));
}

}  // namespace
}  // namespace moe
