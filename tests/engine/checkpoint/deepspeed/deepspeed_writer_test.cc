#include "engine/checkpoint/deepspeed/deepspeed_writer.h"

#include <filesystem>
#include <string>

#include "absl/strings/match.h"
#include "engine/config/parameter_count.h"
#include "engine/config/weight_inventory.h"
#include "engine/loading/open_checkpoint.h"
#include "gtest/gtest.h"
#include "tests/support/weight_values.h"
#include "tools/checkpoint/model_presets.h"
#include "tools/checkpoint/random_weights.h"

namespace moe {
namespace {

UniformModelConfig Preset(const std::string& name) {
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
  ModelConfig want = config;
  want.family = read.family;  // a name that the reader gives
  EXPECT_TRUE(read == want);
  EXPECT_EQ(CountParameters(read).total, CountParameters(config).total);
  for (const WeightSpec& spec : WeightInventory(config).All()) {
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
  UniformModelConfig config = Preset("tiny_prmoe");
  config.residual_moe = ResidualMoeKind::kA;
  RoundTrip(config, DType::kBf16);
}

TEST(DeepSpeedWriterTest, DenseModelComesBack) {
  RoundTrip(Preset("tiny_dense"), DType::kF32);
}

TEST(DeepSpeedWriterTest, ModernOptionsComeBack) {
  UniformModelConfig config = Preset("tiny");
  config.num_kv_heads = 2;
  config.activation = ActivationKind::kSwiGlu;
  config.norm = {NormKind::kRmsNorm, 1e-6f};
  config.linear_bias = false;
  config.tied_embeddings = false;
  config.rope = RopeConfig{.theta = 500000, .rotary_dim = 8};
  config.top_k = 2;
  config.normalize_top_k = true;
  RoundTrip(config, DType::kF32);
}

TEST(DeepSpeedWriterTest, OtherActivationsComeBack) {
  UniformModelConfig config = Preset("tiny");
  config.activation = ActivationKind::kGeluErf;
  RoundTrip(config, DType::kF16);
  config.activation = ActivationKind::kSquaredRelu;
  RoundTrip(config, DType::kF16);
}

TEST(DeepSpeedWriterTest, NormWeightsMinusOneComeBack) {
  UniformModelConfig config = Preset("tiny");
  config.norm.weight_plus_one = true;
  RoundTrip(config, DType::kF32);
}

TEST(DeepSpeedWriterTest, RefusesWhatTheFilesCannotSay) {
  const auto source = [](const std::string&, int64_t, absl::Span<float>) {};
  UniformModelConfig rms = Preset("tiny");
  rms.norm = {.kind = NormKind::kRmsNorm, .weight_plus_one = true};
  EXPECT_EQ(
      WriteDeepSpeedCheckpoint(testing::TempDir() + "/refused", rms, source)
          .code(),
      absl::StatusCode::kInvalidArgument);
  UniformModelConfig config = Preset("tiny_prmoe");
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

TEST(DeepSpeedWriterTest, RefusesLayersThatDiffer) {
  const auto source = [](const std::string&, int64_t, absl::Span<float>) {};
  ModelConfig config = Preset("tiny_dense");
  config.layers[1].attention.num_kv_heads = 2;
  const absl::Status status =
      WriteDeepSpeedCheckpoint(testing::TempDir() + "/refused", config, source);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(absl::StrContains(status.message(), "layers differ")) << status;
}

TEST(DeepSpeedWriterTest, RefusesWhatTheDiskCannotHold) {
  const auto source = [](const std::string&, int64_t, absl::Span<float>) {};
  UniformModelConfig config = Preset("tiny_dense");
  config.hidden_size = int64_t{1} << 20;  // 2 PiB in all
  config.ffn_hidden_size = int64_t{1} << 28;
  const absl::Status status =
      WriteDeepSpeedCheckpoint(testing::TempDir() + "/large", config, source);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "bytes, the disk has"));
}

}  // namespace
}  // namespace moe
