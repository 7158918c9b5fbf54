#include "engine/checkpoint/deepspeed/deepspeed_writer.h"

#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/weight_names.h"
#include "gtest/gtest.h"
#include "tests/support/weight_values.h"
#include "tools/checkpoint/model_presets.h"
#include "tools/checkpoint/random_weights.h"

namespace moe {
namespace {

ModelConfig Preset(const std::string& name) {
  const auto config = FindModelPreset(name);
  EXPECT_TRUE(config.ok()) << config.status();
  return *config;
}

float Round(float value, DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return HalfToFloat(FloatToHalf(value));
    case DType::kBf16:
      return Bf16ToFloat(FloatToBf16(value));
    default:
      return value;
  }
}

// Writes random weights, reads them back, compares each value.
void RoundTrip(const ModelConfig& config, DType dtype) {
  const std::string directory = testing::TempDir() + "/written";
  std::filesystem::remove_all(directory);
  const RandomWeights weights(config, 7);
  const auto source = [&](const std::string& name, int64_t row,
                          absl::Span<float> values) {
    weights.FillRow(name, row, values);
  };
  DeepSpeedWriterOptions options;
  options.dtype = dtype;
  const absl::Status written =
      WriteDeepSpeedCheckpoint(directory, config, source, options);
  ASSERT_TRUE(written.ok()) << written;
  const auto checkpoint = OpenCheckpoint(directory);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_TRUE((*checkpoint)->warnings().empty());
  const ModelConfig& read = (*checkpoint)->config();
  EXPECT_EQ(read.vocab_size, config.vocab_size);
  EXPECT_EQ(read.experts_per_layer, config.experts_per_layer);
  EXPECT_EQ(read.residual_moe, config.residual_moe);
  EXPECT_EQ(read.activation, config.activation);
  EXPECT_EQ(read.norm, config.norm);
  EXPECT_EQ(read.norm_epsilon, config.norm_epsilon);
  EXPECT_EQ(read.norm_weight_plus_one, config.norm_weight_plus_one);
  EXPECT_EQ(read.num_kv_heads, config.num_kv_heads);
  EXPECT_EQ(read.position, config.position);
  EXPECT_EQ(read.rotary_dim, config.rotary_dim);
  EXPECT_EQ(read.rope_theta, config.rope_theta);
  EXPECT_EQ(read.linear_bias, config.linear_bias);
  EXPECT_EQ(read.tied_embeddings, config.tied_embeddings);
  EXPECT_EQ(read.top_k, config.top_k);
  EXPECT_EQ(read.max_positions, config.max_positions);
  EXPECT_EQ(CountParameters(read).total, CountParameters(config).total);
  for (const WeightSpec& spec : ListWeights(config)) {
    const auto weight = (*checkpoint)->Get(spec.name);
    ASSERT_TRUE(weight.ok()) << weight.status();
    EXPECT_EQ(weight->view.dtype, dtype);
    const bool matrix = spec.dims.size() == 2;
    std::vector<float> row(
        static_cast<size_t>(matrix ? spec.dims[1] : spec.dims[0]));
    const std::vector<float> got = WeightValues(weight->view);
    for (int64_t r = 0; r < (matrix ? spec.dims[0] : 1); ++r) {
      weights.FillRow(spec.name, r, absl::MakeSpan(row));
      for (size_t c = 0; c < row.size(); ++c) {
        ASSERT_EQ(got[static_cast<size_t>(r) * row.size() + c],
                  Round(row[c], dtype))
            << spec.name;
      }
    }
  }
}

TEST(DeepSpeedWriterTest, PyramidOfResidualExpertsComesBack) {
  RoundTrip(Preset("tiny_prmoe"), DType::kF16);
}

TEST(DeepSpeedWriterTest, VariantAComesBack) {
  ModelConfig config = Preset("tiny_prmoe");
  config.residual_moe = ResidualMoeKind::kA;
  RoundTrip(config, DType::kBf16);
}

TEST(DeepSpeedWriterTest, DenseModelComesBack) {
  RoundTrip(Preset("tiny_dense"), DType::kF32);
}

TEST(DeepSpeedWriterTest, ModernOptionsComeBack) {
  ModelConfig config = Preset("tiny");
  config.num_kv_heads = 2;
  config.activation = ActivationKind::kSwiGlu;
  config.norm = NormKind::kRmsNorm;
  config.norm_epsilon = 1e-6f;
  config.linear_bias = false;
  config.tied_embeddings = false;
  config.position = PositionKind::kRotary;
  config.rotary_dim = 8;
  config.rope_theta = 500000;
  config.top_k = 2;
  RoundTrip(config, DType::kF32);
}

TEST(DeepSpeedWriterTest, OtherActivationsComeBack) {
  ModelConfig config = Preset("tiny");
  config.activation = ActivationKind::kGeluErf;
  RoundTrip(config, DType::kF16);
  config.activation = ActivationKind::kSquaredRelu;
  RoundTrip(config, DType::kF16);
}

TEST(DeepSpeedWriterTest, NormWeightsMinusOneComeBack) {
  ModelConfig config = Preset("tiny");
  config.norm_weight_plus_one = true;
  RoundTrip(config, DType::kF32);
}

TEST(DeepSpeedWriterTest, RefusesWhatTheFilesCannotSay) {
  const auto source = [](const std::string&, int64_t, absl::Span<float>) {};
  ModelConfig rms = Preset("tiny");
  rms.norm = NormKind::kRmsNorm;
  rms.norm_weight_plus_one = true;
  EXPECT_EQ(
      WriteDeepSpeedCheckpoint(testing::TempDir() + "/refused", rms, source)
          .code(),
      absl::StatusCode::kInvalidArgument);
  ModelConfig config = Preset("tiny_prmoe");
  config.experts_per_layer = {0, 4, 0, 0, 0, 4};
  absl::Status status =
      WriteDeepSpeedCheckpoint(testing::TempDir() + "/refused", config, source);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "layer 3")) << status;
  config.num_heads = 0;
  status =
      WriteDeepSpeedCheckpoint(testing::TempDir() + "/refused", config, source);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(std::filesystem::exists(testing::TempDir() + "/refused"));
}

TEST(DeepSpeedWriterTest, RefusesWhatTheDiskCannotHold) {
  const auto source = [](const std::string&, int64_t, absl::Span<float>) {};
  ModelConfig config = Preset("tiny_dense");
  config.hidden_size = int64_t{1} << 20;  // 2 PiB in all
  config.ffn_hidden_size = int64_t{1} << 28;
  const absl::Status status =
      WriteDeepSpeedCheckpoint(testing::TempDir() + "/large", config, source);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "bytes, the disk has"));
}

}  // namespace
}  // namespace moe
