// Every variant of the decoder on the ranks of a tensor group, against the same
// model on one rank.

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "comm/process_groups.h"
#include "comm/topology.h"
#include "engine/config/rank_shard.h"
#include "gtest/gtest.h"
#include "tests/engine/models/model_harness.h"
#include "tests/engine/models/random_checkpoint.h"
#include "tests/support/golden.h"
#include "tests/support/ranks.h"

namespace moe {
namespace {

// Of the largest logit: sums are rounded in another order.
constexpr float kRelativeTolerance = 2e-6f;
constexpr int64_t kGreedyTokens = 24;

struct Variant {
  std::string name;
  std::string qkv_layout;
  std::string residual_moe;
  int degree = 2;
};

// All experts on every rank.
ParallelLayout LayoutOf(const ModelConfig& config, int degree) {
  std::vector<MoeLayerDegrees> layers;
  for (int64_t l = 0; l < config.num_layers; ++l) {
    if (!config.is_moe_layer(l)) continue;
    layers.push_back(
        {.layer = static_cast<int>(l),
         .num_experts = static_cast<int>(config.experts_per_layer[l])});
  }
  return *ParallelLayout::Create(degree, degree, layers);
}

// Calls `body` on each rank of a group of tensor ranks.
void RunTensorRanks(const ModelConfig& config, int degree,
                    const std::function<void(const ModelParallel&)>& body) {
  const ParallelLayout layout = LayoutOf(config, degree);
  RunThreadRanks(degree, [&](Communicator& world) {
    auto groups = ProcessGroups::Create(*world.Split(0, world.rank(), "world"),
                                        Topology::OneNode(degree), layout);
    ASSERT_TRUE(groups.ok()) << groups.status();
    ModelParallel parallel;
    const auto shard = RankShard::Of(config, layout, world.rank());
    ASSERT_TRUE(shard.ok()) << shard.status();
    parallel.shard = *shard;
    parallel.groups = groups->get();
    body(parallel);
  });
}

float Largest(const std::vector<float>& values) {
  float largest = 0;
  for (float x : values) largest = std::max(largest, std::abs(x));
  return largest;
}

class TensorParallelTest : public testing::TestWithParam<Variant> {
 protected:
  std::unique_ptr<Checkpoint> Open() const {
    CheckpointOptions options;
    options.qkv_layout = GetParam().qkv_layout;
    options.residual_moe = GetParam().residual_moe;
    return OpenOrDie(TestDataPath(directory_), options);
  }
  std::vector<int32_t> Tokens() const {
    const std::vector<int32_t> all = golden_.Ints("tokens");
    return {all.begin(), all.begin() + golden_.Shape("tokens")[1]};
  }

  const std::string directory_ = "tests/goldens/models/" + GetParam().name;
  const Golden golden_ = Golden::At(directory_);
};

TEST_P(TensorParallelTest, LogitsAndGreedyTokensEqualOneRank) {
  const std::vector<int32_t> tokens = Tokens();
  const std::unique_ptr<Checkpoint> checkpoint = Open();
  ModelHarness single(*checkpoint, {});
  const std::vector<float> want = single.Prefill(tokens, 24);
  const std::vector<int32_t> prompt(tokens.begin(), tokens.begin() + 8);
  const std::vector<int32_t> want_greedy =
      single.Greedy(prompt, kGreedyTokens, 5);
  const ModelConfig config = checkpoint->config();

  for (int degree = 1; degree <= GetParam().degree; degree *= 2) {
    std::vector<std::vector<float>> logits(degree);
    std::vector<std::vector<int32_t>> greedy(degree);
    RunTensorRanks(config, degree, [&](const ModelParallel& parallel) {
      const int rank = parallel.shard.tensor_rank;
      ModelHarness harness(*Open(), {.parallel = &parallel});
      logits[rank] = harness.Prefill(tokens, 24);
      // Cut in another way, to the same bits.
      EXPECT_EQ(harness.Prefill(tokens, 7), logits[rank]);
      greedy[rank] = harness.Greedy(prompt, kGreedyTokens, 5);
    });
    if (degree == 1) {
      EXPECT_EQ(logits[0], want);
    }
    for (int rank = 0; rank < degree; ++rank) {
      EXPECT_LE(MaxDifference(logits[rank], want) / Largest(want),
                kRelativeTolerance)
          << "degree " << degree;
      EXPECT_EQ(logits[rank], logits[0]);
      EXPECT_EQ(greedy[rank], want_greedy) << "degree " << degree;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Variants, TensorParallelTest,
    testing::Values(
        Variant{"dense", "", "", 4}, Variant{"dense_gelu_erf", "", "", 4},
        Variant{"dense_squared_relu", "", "", 4},
        Variant{"dense_swiglu", "", "", 4},
        Variant{"dense_rmsnorm_no_bias_untied", "", "", 4},
        Variant{"dense_layernorm_1p", "", "", 4},
        Variant{"dense_post_norm", "", "", 4},
        Variant{"dense_qkv_version_0", "", "", 4},
        Variant{"dense_qkv_version_1", "", "", 4},
        Variant{"dense_qkv_all_q_all_k_all_v", "q_k_v", "", 4},
        Variant{"dense_gqa", "", "", 4},
        Variant{"dense_gqa_q_k_v", "q_k_v", "", 4},
        Variant{"dense_rotary", "", "", 4},
        Variant{"dense_rotary_partial", "", "", 4},
        Variant{"moe_top1", "", "", 4}, Variant{"moe_top2", "", "", 4},
        Variant{"moe_pyramid", "", "", 4}, Variant{"prmoe_a", "", "", 4},
        Variant{"prmoe_b1", "", "b1", 4}, Variant{"prmoe_b2", "", "", 4},
        Variant{"prmoe_b2_swiglu_top2", "", "", 4},
        Variant{"moe_llama_like", "", "", 4}),
    [](const testing::TestParamInfo<Variant>& info) {
      return info.param.name;
    });

}  // namespace
}  // namespace moe
