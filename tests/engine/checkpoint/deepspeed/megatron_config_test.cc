#include "engine/checkpoint/deepspeed/megatron_config.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "engine/checkpoint/deepspeed/qkv_layout.h"
#include "engine/checkpoint/torch/pickle_writer.h"
#include "engine/checkpoint/torch/unpickler.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

// A dense model of one layer. `write` adds to its object, `write_args` to the
// object's args.
class SmallModel {
 public:
  using Write = std::function<void(PickleWriter&)>;

  SmallModel(const Write& write, const Write& write_args) {
    PickleWriter pickle;
    pickle.BeginDict();
    write(pickle);
    pickle.Key("args");
    pickle.BeginNamespace();
    write_args(pickle);
    pickle.EndNamespace();
    pickle.EndDict();
    bytes_ = pickle.Finish();
    const auto root = Unpickle(bytes_, "test", arena_);
    EXPECT_TRUE(root.ok()) << root.status();
    model_.root = root->value;
    model_.source = "test";
    model_.dims = {{"embedding.weight", {10, 8}},
                   {"position_embedding.weight", {16, 8}},
                   {"layers.0.attention_norm.weight", {8}}};
  }

  absl::StatusOr<ModelConfig> Config(const CheckpointOptions& options = {}) {
    return ReadMegatronConfig(model_, options, &warnings_);
  }
  absl::StatusOr<QkvLayout> Qkv(const MegatronOptions& options = {}) {
    return ChooseQkvLayout(model_, options, &warnings_);
  }
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::string bytes_;
  PickleArena arena_;
  MegatronModel model_;
  std::vector<std::string> warnings_;
};

void Nothing(PickleWriter&) {}

void TwoHeads(PickleWriter& pickle) {
  pickle.Key("num_attention_heads");
  pickle.Int(2);
}

// With that `normalization` and gammas stored minus one if the norm is of a
// kind that can.
ModelConfig ConfigWithLayerNorm1p(const std::string& normalization) {
  SmallModel model(Nothing, [&](PickleWriter& pickle) {
    TwoHeads(pickle);
    pickle.Key("normalization");
    pickle.String(normalization);
    pickle.Key("apply_layernorm_1p");
    pickle.Bool(true);
  });
  const auto config = model.Config();
  EXPECT_TRUE(config.ok()) << config.status();
  return config.ok() ? *config : ModelConfig();
}

SmallModel ModelOfVersion(double version) {
  return SmallModel(
      [&](PickleWriter& pickle) {
        pickle.Key("checkpoint_version");
        pickle.Float(version);
      },
      TwoHeads);
}

TEST(MegatronConfigTest, OnlyALayerNormStoresItsWeightMinusOne) {
  EXPECT_TRUE(ConfigWithLayerNorm1p("layernorm").final_norm.weight_plus_one);
  const ModelConfig rms = ConfigWithLayerNorm1p("rmsnorm");
  EXPECT_EQ(rms.final_norm.kind, NormKind::kRmsNorm);
  EXPECT_FALSE(rms.final_norm.weight_plus_one);
}

TEST(MegatronConfigTest, SaysThatTheNumberOfHeadsIsMissing) {
  SmallModel none(Nothing, [](PickleWriter& pickle) {
    pickle.Key("num_attention_heads");
    pickle.None();
  });
  SmallModel missing(Nothing, Nothing);
  for (SmallModel* model : {&none, &missing}) {
    EXPECT_EQ(model->Config().status().message(),
              "test: args.num_attention_heads is missing or None");
  }
}

TEST(MegatronConfigTest, NamesTheTokenizerWithMoreEntriesThanTheEmbedding) {
  SmallModel model(Nothing, TwoHeads);
  CheckpointOptions options;
  options.vocab_size = 11;
  options.vocab_size_source = "the tokenizer t.json";
  EXPECT_EQ(model.Config(options).status().message(),
            "test: the tokenizer t.json has 11 entries, but the embedding has "
            "10 rows: it is not this model's");
  options.vocab_size = 10;
  EXPECT_TRUE(model.Config(options).ok());
}

TEST(QkvLayoutTest, FollowsTheCheckpointVersion) {
  EXPECT_EQ(*ModelOfVersion(1).Qkv(), QkvLayout::kVersion1);
  EXPECT_EQ(*ModelOfVersion(2).Qkv(), QkvLayout::kHeadInterleaved);
  EXPECT_EQ(*ModelOfVersion(3).Qkv(), QkvLayout::kHeadInterleaved);

  SmallModel zero = ModelOfVersion(0);
  EXPECT_EQ(*zero.Qkv(), QkvLayout::kQKV);
  ASSERT_EQ(zero.warnings().size(), 1u);
  EXPECT_EQ(zero.warnings()[0].find("test: checkpoint_version is 0: "), 0u);

  SmallModel absent(Nothing, TwoHeads);
  EXPECT_EQ(*absent.Qkv(), QkvLayout::kQKV);
  ASSERT_EQ(absent.warnings().size(), 1u);
  EXPECT_EQ(absent.warnings()[0].find("test: no checkpoint_version: "), 0u);
}

TEST(QkvLayoutTest, NamesAreParsed) {
  EXPECT_EQ(*ParseQkvLayout("head_interleaved"), QkvLayout::kHeadInterleaved);
  EXPECT_EQ(*ParseQkvLayout("q_k_v"), QkvLayout::kQKV);
  EXPECT_EQ(*ParseQkvLayout("version_0"), QkvLayout::kQKV);
  EXPECT_EQ(*ParseQkvLayout("version_1"), QkvLayout::kVersion1);
  EXPECT_EQ(ParseQkvLayout("q_v_k").status().message(),
            "qkv_layout is 'q_v_k', must be head_interleaved, q_k_v, version_0 "
            "or version_1");
}

TEST(QkvLayoutTest, RefusesVersionsThatNobodyWrote) {
  for (const double version : {-1.0, 0.5, 2.5, 4.0, 99.0, std::nan(""),
                               std::numeric_limits<double>::infinity()}) {
    SmallModel model = ModelOfVersion(version);
    const absl::Status status = model.Qkv().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << version;
    EXPECT_NE(status.message().find("must be 0, 1, 2 or 3"),
              absl::string_view::npos)
        << status;
    EXPECT_TRUE(model.warnings().empty());
    EXPECT_EQ(*model.Qkv({.qkv_layout = QkvLayout::kHeadInterleaved}),
              QkvLayout::kHeadInterleaved);
  }
}

}  // namespace
}  // namespace moe
