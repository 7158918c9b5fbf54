#include "tools/checkpoint/random_weights.h"

#include <cmath>
#include <string>
#include <vector>

#include "engine/config/parameter_count.h"
#include "gtest/gtest.h"
#include "tools/checkpoint/model_presets.h"

namespace moe {
namespace {

UniformModelConfig Tiny() { return *FindModelPreset("tiny"); }

std::vector<float> Row(const ModelConfig& config, uint64_t seed,
                       const std::string& name, int64_t row, size_t size) {
  std::vector<float> values(size);
  RandomWeights(config, seed).FillRow(name, row, absl::MakeSpan(values));
  return values;
}

TEST(RandomWeightsTest, DependOnSeedNameAndRowAlone) {
  const UniformModelConfig config = Tiny();
  const auto values = Row(config, 1, "embedding.weight", 5, 64);
  EXPECT_EQ(values, Row(config, 1, "embedding.weight", 5, 64));
  EXPECT_NE(values, Row(config, 2, "embedding.weight", 5, 64));
  EXPECT_NE(values, Row(config, 1, "embedding.weight", 6, 64));
  EXPECT_NE(values, Row(config, 1, "output.weight", 5, 64));
}

TEST(RandomWeightsTest, HaveTheDeviationOfAnUntrainedModel) {
  const UniformModelConfig config = Tiny();
  const size_t n = 100001;
  double sum = 0, squares = 0;
  for (float value : Row(config, 1, "embedding.weight", 0, n)) {
    sum += value;
    squares += double{value} * value;
  }
  EXPECT_NEAR(sum / n, 0, 0.0005);
  EXPECT_NEAR(std::sqrt(squares / n), 0.02, 0.0005);
  for (float value : Row(config, 1, "layers.0.mlp_norm.weight", 0, 100)) {
    EXPECT_NEAR(value, 1, 0.05);
  }
}

TEST(ModelPresetsTest, AllAreValid) {
  for (const std::string& name : ModelPresetNames()) {
    const auto config = FindModelPreset(name);
    ASSERT_TRUE(config.ok()) << config.status();
    EXPECT_TRUE(config->Validate().ok()) << name << config->Validate();
  }
  EXPECT_EQ(FindModelPreset("2b").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(ModelPresetsTest, HaveThePaperSizes) {
  const auto billions = [](const char* name) {
    return static_cast<double>(CountParameters(*FindModelPreset(name)).total) /
           1e9;
  };
  EXPECT_NEAR(billions("350m_moe_128"), 13.15, 0.01);
  EXPECT_NEAR(billions("1.3b_moe_128"), 52.47, 0.01);
  EXPECT_NEAR(billions("350m_prmoe_32_64"), 4.12, 0.01);
  EXPECT_NEAR(billions("1.3b_prmoe_64_128"), 31.39, 0.01);
  EXPECT_NEAR(billions("350m_mos_32_64"), 3.54, 0.01);
  EXPECT_NEAR(billions("1.3b_mos_64_128"), 26.94, 0.01);
  EXPECT_NEAR(billions("6.7b"), 6.66, 0.01);
}

TEST(ModelPresetsTest, ExpertsFillEverySecondLayer) {
  UniformModelConfig config = Tiny();
  ASSERT_TRUE(SetExperts({3, 5}, &config).ok());
  EXPECT_EQ(config.experts_per_layer, (std::vector<int64_t>{0, 3, 0, 5}));
  ASSERT_TRUE(SetExperts({7}, &config).ok());
  EXPECT_EQ(config.experts_per_layer, (std::vector<int64_t>{0, 7, 0, 7}));
  EXPECT_EQ(SetExperts({1, 2, 3}, &config).code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace moe
