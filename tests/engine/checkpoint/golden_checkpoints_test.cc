// Opens every checkpoint that the real Megatron-DeepSpeed wrote.

#include <cmath>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "engine/checkpoint/deepspeed/megatron_keys.h"
#include "engine/checkpoint/torch/torch_file.h"
#include "engine/config/parameter_count.h"
#include "engine/config/uniform_model_config.h"
#include "engine/config/weight_inventory.h"
#include "engine/loading/open_checkpoint.h"
#include "gtest/gtest.h"
#include "tests/support/golden.h"

namespace moe {
namespace {

struct Expected {
  std::string name;
  std::string family;
  std::vector<int64_t> experts;
  int64_t ffn = 128;
  int64_t top_k = 1;
  int64_t kv_heads = 4;
  ResidualMoeKind residual = ResidualMoeKind::kNone;
  bool rotary = false;
  bool tied = true;
  DType dtype = DType::kF32;
  std::string qkv_layout;
};

class GoldenCheckpointsTest : public testing::TestWithParam<Expected> {};

TEST_P(GoldenCheckpointsTest, OpensWithTheRightConfiguration) {
  const Expected& want = GetParam();
  const auto checkpoint = OpenCheckpoint(GoldenDirectory(want.name));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto uniform = UniformModelConfig::Of((*checkpoint)->config());
  ASSERT_TRUE(uniform.has_value());
  const UniformModelConfig& config = *uniform;
  EXPECT_EQ(config.family, want.family);
  EXPECT_EQ(config.vocab_size, 501);
  EXPECT_EQ(config.padded_vocab_size, 512);
  EXPECT_EQ(config.hidden_size, 64);
  EXPECT_EQ(config.num_layers, static_cast<int64_t>(want.experts.size()));
  EXPECT_EQ(config.num_heads, 4);
  EXPECT_EQ(config.num_kv_heads, want.kv_heads);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.ffn_hidden_size, want.ffn);
  EXPECT_EQ(config.max_positions, 64);
  EXPECT_EQ(config.norm.kind, NormKind::kLayerNorm);
  EXPECT_FLOAT_EQ(config.norm.epsilon, 1e-5f);
  EXPECT_EQ(config.activation, ActivationKind::kGeluTanh);
  EXPECT_TRUE(config.linear_bias);
  EXPECT_EQ(config.tied_embeddings, want.tied);
  EXPECT_EQ(config.rope.has_value(), want.rotary);
  EXPECT_EQ(config.experts_per_layer, want.experts);
  EXPECT_EQ(config.top_k, want.top_k);
  if ((*checkpoint)->config().has_experts()) {
    EXPECT_EQ(config.normalize_top_k, want.top_k > 1);
  }
  EXPECT_EQ(config.residual_moe, want.residual);
  EXPECT_FALSE(config.rope.value_or(RopeConfig()).double_cos_quirk);
  EXPECT_TRUE(absl::StrContains((*checkpoint)->Description(), want.qkv_layout))
      << (*checkpoint)->Description();
  EXPECT_TRUE((*checkpoint)->warnings().empty())
      << (*checkpoint)->warnings()[0];
}

TEST_P(GoldenCheckpointsTest, HasEveryWeightInItsShape) {
  const Expected& want = GetParam();
  const auto checkpoint = OpenCheckpoint(GoldenDirectory(want.name));
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  int64_t total = 0;
  for (const WeightSpec& spec :
       WeightInventory((*checkpoint)->config()).All()) {
    SCOPED_TRACE(spec.name);
    EXPECT_TRUE((*checkpoint)->Has(spec.name));
    const auto weight = (*checkpoint)->Get(spec.name);
    ASSERT_TRUE(weight.ok()) << weight.status();
    const TensorView& view = weight->view;
    ASSERT_EQ(view.rank, static_cast<int>(spec.dims.size()));
    for (int i = 0; i < view.rank; ++i) EXPECT_EQ(view.dims[i], spec.dims[i]);
    EXPECT_TRUE(view.is_contiguous());
    EXPECT_EQ(view.dtype, want.dtype);
    total += view.num_elements();
  }
  EXPECT_EQ(total, CountParameters((*checkpoint)->config()).total);
  EXPECT_FALSE((*checkpoint)->Has("layers.0.attention.query.weight"));
  EXPECT_EQ((*checkpoint)->Get("nonsense").status().code(),
            absl::StatusCode::kNotFound);
}

// Read from the files directly, without OpenCheckpoint.
TEST_P(GoldenCheckpointsTest, HasNoTensorThatTheInventoryLacks) {
  const std::string directory = GoldenDirectory(GetParam().name);
  const auto checkpoint = OpenCheckpoint(directory);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const WeightInventory inventory((*checkpoint)->config());
  std::set<std::string> in_files, in_inventory;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(directory)) {
    if (entry.path().extension() != ".pt") continue;
    const auto file = TorchFile::Open(entry.path().string());
    ASSERT_TRUE(file.ok()) << file.status();
    const PickleValue* module = (*file)->root().Find("module");
    const PickleValue& state = module != nullptr ? *module : (*file)->root();
    ASSERT_TRUE((*file)->ListTensors(state).ok());
    for (const TensorInfo& tensor : (*file)->tensors()) {
      // Some releases store a rank's experts in its mp_rank file too.
      if (module != nullptr &&
          absl::StrContains(tensor.name, "deepspeed_experts")) {
        continue;
      }
      MegatronKey key;
      ASSERT_TRUE(ParseMegatronKey(tensor.name, &key)) << tensor.name;
      const auto weight = inventory.Find(key.name);
      ASSERT_TRUE(weight.has_value()) << key.name;
      EXPECT_EQ(weight->dims.size(), tensor.dims.size());
      EXPECT_EQ(weight->expert, key.expert);
      in_files.insert(key.name);
    }
  }
  for (const WeightSpec& weight : inventory.All()) {
    in_inventory.insert(weight.name);
  }
  EXPECT_EQ(in_files, in_inventory);
}

TEST_P(GoldenCheckpointsTest, OpensItsTagDirectoryAlike) {
  const std::string path = GoldenDirectory(GetParam().name) + "/global_step12/";
  const auto checkpoint = OpenCheckpoint(path);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_TRUE(absl::StrContains((*checkpoint)->Description(), "global_step12"));
}

const std::vector<int64_t> kDense = {0, 0, 0, 0};
const std::vector<int64_t> kTwo = {0, 2, 0, 2};
const std::vector<int64_t> kFour = {0, 4, 0, 4};
const std::vector<int64_t> kSix = {0, 6, 0, 6};
const std::vector<int64_t> kPyramid = {0, 2, 0, 4, 0, 8};
constexpr ResidualMoeKind kB2 = ResidualMoeKind::kB2;

INSTANTIATE_TEST_SUITE_P(
    Files, GoldenCheckpointsTest,
    testing::Values(Expected{.name = "dense_head",
                             .family = "gpt",
                             .experts = kDense,
                             .ffn = 256,
                             .qkv_layout = "q_k_v"},
                    Expected{.name = "moe_gqa_pre",
                             .family = "gpt_moe",
                             .experts = kTwo,
                             .kv_heads = 2,
                             .qkv_layout = "head_interleaved"},
                    Expected{.name = "moe_paper_era",
                             .family = "gpt_moe",
                             .experts = kFour,
                             .ffn = 256,
                             .qkv_layout = "head_interleaved"},
                    Expected{.name = "moe_rotary_head_quirk",
                             .family = "gpt_moe",
                             .experts = kTwo,
                             .rotary = true,
                             .qkv_layout = "q_k_v"},
                    Expected{.name = "moe_top2_head",
                             .family = "gpt_moe",
                             .experts = kFour,
                             .top_k = 2,
                             .qkv_layout = "q_k_v"},
                    Expected{.name = "moe_top4_pre",
                             .family = "gpt_moe",
                             .experts = kSix,
                             .top_k = 4,
                             .qkv_layout = "head_interleaved"},
                    Expected{.name = "moe_untied_pre",
                             .family = "gpt_moe",
                             .experts = kFour,
                             .tied = false,
                             .qkv_layout = "head_interleaved"},
                    Expected{.name = "prmoe_bf16_zero1_pre",
                             .family = "pr_moe",
                             .experts = kPyramid,
                             .residual = kB2,
                             .dtype = DType::kBf16,
                             .qkv_layout = "head_interleaved"},
                    Expected{.name = "prmoe_head",
                             .family = "pr_moe",
                             .experts = kPyramid,
                             .residual = kB2,
                             .qkv_layout = "q_k_v"},
                    Expected{.name = "prmoe_tp2_ep2_head",
                             .family = "pr_moe",
                             .experts = kPyramid,
                             .residual = kB2,
                             .qkv_layout = "q_k_v"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace moe
