#include "engine/checkpoint/megatron_config.h"

#include <string>
#include <vector>

#include "engine/checkpoint/pickle_writer.h"
#include "engine/checkpoint/unpickler.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

// A dense model of one layer, with that `normalization` and gammas stored minus
// one if the norm is of a kind that can.
ModelConfig ConfigWithLayerNorm1p(const std::string& normalization) {
  PickleWriter pickle;
  pickle.BeginDict();
  pickle.Key("args");
  pickle.BeginNamespace();
  pickle.Key("num_attention_heads");
  pickle.Int(2);
  pickle.Key("normalization");
  pickle.String(normalization);
  pickle.Key("apply_layernorm_1p");
  pickle.Bool(true);
  pickle.EndNamespace();
  pickle.EndDict();
  const std::string bytes = pickle.Finish();
  PickleArena arena;
  const auto root = Unpickle(bytes, "test", arena);
  EXPECT_TRUE(root.ok()) << root.status();
  MegatronModel model;
  model.root = root->value;
  model.source = "test";
  model.dims = {{"embedding.weight", {10, 8}},
                {"position_embedding.weight", {16, 8}},
                {"layers.0.attention_norm.weight", {8}}};
  std::vector<std::string> warnings;
  const auto config = ReadMegatronConfig(model, {}, &warnings);
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : ModelConfig();
}

TEST(MegatronConfigTest, OnlyALayerNormStoresItsWeightMinusOne) {
  EXPECT_TRUE(ConfigWithLayerNorm1p("layernorm").norm_weight_plus_one);
  const ModelConfig rms = ConfigWithLayerNorm1p("rmsnorm");
  EXPECT_EQ(rms.norm, NormKind::kRmsNorm);
  EXPECT_FALSE(rms.norm_weight_plus_one);
}

}  // namespace
}  // namespace moe
