// Every variant of the decoder on the ranks of a tensor group, against the same
// model on one rank.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "comm/process_groups.h"
#include "comm/topology.h"
#include "engine/config/rank_shard.h"
#include "gtest/gtest.h"
#include "tests/engine/models/model_harness.h"
#include "tests/engine/models/random_checkpoint.h"
#include "tests/support/golden.h"
#include "tests/support/ranks.h"
#include "tests/support/temp_checkpoint.h"

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

ModelConfig DenseConfig() {
  ModelConfig config = SmallPrMoeConfig();
  config.family = "gpt";
  config.experts_per_layer = {0, 0, 0, 0};
  config.residual_moe = ResidualMoeKind::kNone;
  return config;
}

// Files that two tensor and two expert ranks wrote, on any number of ranks.
class ReshardingTest : public testing::TestWithParam<int> {};

TEST_P(ReshardingTest, LogitsEqualOneRankAndEachReadsItsShare) {
  const int degree = GetParam();
  const std::string directory = GoldenDirectory("prmoe_tp2_ep2_head");
  const Golden golden("prmoe_tp2_ep2_head");
  const std::vector<int32_t> all = golden.Ints("tokens");
  const std::vector<int32_t> tokens(all.begin(),
                                    all.begin() + golden.Shape("tokens")[1]);
  const std::unique_ptr<Checkpoint> whole = OpenOrDie(directory);
  const ModelConfig config = whole->config();
  ModelHarness single(*whole, {});
  const std::vector<float> want = single.Prefill(tokens, 32);

  RunTensorRanks(config, degree, [&](const ModelParallel& parallel) {
    const RankShard& shard = parallel.shard;
    const std::unique_ptr<Checkpoint> checkpoint =
        OpenOrDie(directory, {.rank = shard.tensor_rank, .num_ranks = degree});
    const int64_t opened = checkpoint->bytes_read();
    ModelHarness harness(*checkpoint, {.parallel = &parallel});
    // The tied embedding is read for the logits again. Checksums cost nothing.
    int64_t vocab = shard.Vocab(config).size();
    if (shard.tensor_rank == degree - 1) {
      vocab += config.padded_vocab_size - config.vocab_size;
    }
    EXPECT_EQ(checkpoint->bytes_read() - opened,
              4 * (shard.CountParameters(config) + vocab * config.hidden_size));
    EXPECT_LE(MaxDifference(harness.Prefill(tokens, 32), want) / Largest(want),
              kRelativeTolerance);
  });
}

INSTANTIATE_TEST_SUITE_P(Degrees, ReshardingTest, testing::Values(1, 2, 4));

TEST(TensorParallelLoadTest, ReadsAShareOfADenseModel) {
  const std::string directory = GoldenDirectory("dense_head");
  const std::unique_ptr<Checkpoint> whole = OpenOrDie(directory);
  const ModelConfig config = whole->config();
  const int64_t opened = whole->bytes_read();  // descriptions
  ModelHarness single(*whole, {});
  const auto all = static_cast<double>(whole->bytes_read() - opened);
  for (const int degree : {2, 4}) {
    RunTensorRanks(config, degree, [&](const ModelParallel& parallel) {
      const std::unique_ptr<Checkpoint> checkpoint = OpenOrDie(
          directory, {.rank = parallel.shard.tensor_rank, .num_ranks = degree});
      EXPECT_EQ(checkpoint->bytes_read(), opened);
      ModelHarness harness(*checkpoint, {.parallel = &parallel});
      // Norms and positions are whole on all.
      EXPECT_LT(static_cast<double>(checkpoint->bytes_read() - opened),
                1.1 / degree * all);
    });
  }
}

TEST(TensorParallelLoadTest, DamageInAnyRanksShareIsFound) {
  TempCheckpoint damaged("prmoe_head");
  const std::string path = damaged.tag_path() + "/mp_rank_00_model_states.pt";
  const std::string good = ReadFileOrDie(path);
  const ModelConfig config = OpenOrDie(damaged.path())->config();
  for (const char* name :
       {"embedding.weight", "layers.1.attention.qkv.weight",
        "layers.0.mlp.down.weight", "layers.3.mlp.up.bias"}) {
    std::string pattern;
    {
      const std::unique_ptr<Checkpoint> checkpoint = OpenOrDie(damaged.path());
      const auto weight = checkpoint->Get(name);
      ASSERT_TRUE(weight.ok()) << weight.status();
      pattern.assign(weight->view.ptr<char>(),
                     static_cast<size_t>(weight->view.num_elements()) * 4);
    }
    const size_t at = good.find(pattern);
    ASSERT_NE(at, std::string::npos);
    for (const size_t offset : {size_t{1}, pattern.size() - 3}) {
      std::string bad = good;
      bad[at + offset] ^= 0x01;
      WriteFileOrDie(path, bad);
      std::atomic<int> failures = 0;
      RunTensorRanks(config, 2, [&](const ModelParallel& parallel) {
        ThreadPool pool(1);
        CpuStream stream(pool);
        const absl::Status status =
            LoadModel(*OpenOrDie(damaged.path()), {.parallel = &parallel},
                      stream, [](int64_t, int64_t) {})
                .status();
        if (status.ok()) return;
        // Or the echo of the other rank's failure.
        if (status.code() == absl::StatusCode::kDataLoss) {
          ++failures;
        } else {
          EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
        }
        EXPECT_TRUE(absl::StrContains(status.message(), name)) << status;
      });
      EXPECT_GE(failures, 1) << name << " byte " << offset;
      WriteFileOrDie(path, good);
    }
  }
}

// Four ranks, in pairs that have halves of the experts, two tensor ranks each.
TEST(ExpertSliceLoadTest, EachReadsItsSliceAndDamageInAnyIsFound) {
  TempCheckpoint files("prmoe_head");
  const std::string path = files.File("layer_2_expert_7_");
  const std::string good = ReadFileOrDie(path);
  const char name[] = "layers.5.experts.7.down.weight";
  std::string pattern;
  ModelConfig config;
  {
    const std::unique_ptr<Checkpoint> checkpoint = OpenOrDie(files.path());
    config = checkpoint->config();
    const auto weight = checkpoint->Get(name);
    ASSERT_TRUE(weight.ok()) << weight.status();
    pattern.assign(weight->view.ptr<char>(),
                   static_cast<size_t>(weight->view.num_elements()) * 4);
  }
  const size_t at = good.find(pattern);
  ASSERT_NE(at, std::string::npos);
  std::vector<MoeLayerDegrees> layers;
  for (const int layer : {1, 3, 5}) {
    layers.push_back(
        {.layer = layer,
         .num_experts = static_cast<int>(config.experts_per_layer[layer]),
         .expert_degree = 2,
         .slice_degree = 2});
  }
  const ParallelLayout layout = *ParallelLayout::Create(4, 2, layers);
  for (const bool damaged : {false, true}) {
    // In the right half of a row: slice rank 1 of the second pair reads it.
    std::string bytes = good;
    if (damaged) bytes[at + 4 * 127 + 1] ^= 0x40;
    WriteFileOrDie(path, bytes);
    std::atomic<int> failures = 0;
    RunThreadRanks(4, [&](Communicator& world) {
      auto groups = ProcessGroups::Create(
          *world.Split(0, world.rank(), "world"), Topology::OneNode(4), layout);
      ASSERT_TRUE(groups.ok()) << groups.status();
      const ModelParallel parallel = {
          .shard = *RankShard::Of(config, layout, world.rank()),
          .groups = groups->get(),
          .exchange = {},
          .loading = nullptr};
      const std::unique_ptr<Checkpoint> checkpoint = OpenOrDie(files.path());
      const int64_t opened = checkpoint->bytes_read();
      ThreadPool pool(1);
      CpuStream stream(pool);
      const absl::Status status =
          LoadModel(*checkpoint, {.parallel = &parallel}, stream,
                    [](int64_t, int64_t) {})
              .status();
      if (!damaged) {
        EXPECT_TRUE(status.ok()) << status;
        int64_t vocab = parallel.shard.Vocab(config).size();
        if (parallel.shard.tensor_rank == 1) {
          vocab += config.padded_vocab_size - config.vocab_size;
        }
        EXPECT_EQ(checkpoint->bytes_read() - opened,
                  4 * (parallel.shard.CountParameters(config) +
                       vocab * config.hidden_size));
      } else if (status.code() == absl::StatusCode::kDataLoss) {
        EXPECT_TRUE(absl::StrContains(status.message(), name)) << status;
        ++failures;
      }
    });
    EXPECT_EQ(failures > 0, damaged);
  }
}

TEST(TensorParallelLoadTest, ARankThatFailsTellsTheOthersAtOnce) {
  const ModelConfig config = DenseConfig();
  const absl::Time start = absl::Now();
  RunTensorRanks(config, 4, [&](const ModelParallel& groups) {
    RandomCheckpoint checkpoint(config);
    const int rank = groups.shard.tensor_rank;
    if (rank == 2) checkpoint.Remove("layers.3.mlp.up.bias");
    ModelParallel parallel = groups;
    parallel.loading = &groups.groups->world();
    ThreadPool pool(1);
    CpuStream stream(pool);
    const absl::Status status = LoadModel(checkpoint, {.parallel = &parallel},
                                          stream, [](int64_t, int64_t) {})
                                    .status();
    EXPECT_EQ(status.code(), rank == 2 ? absl::StatusCode::kNotFound
                                       : absl::StatusCode::kAborted);
    EXPECT_TRUE(absl::StrContains(status.message(), "layers.3.mlp.up.bias"))
        << status;
  });
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

// Two data ranks of two tensor ranks each; rows on either, both or none.
TEST(DataParallelTest, EmptySharesAreStepsToo) {
  const ModelConfig config = DenseConfig();
  const RandomCheckpoint checkpoint(config);
  ModelHarness single(checkpoint, {});
  const std::vector<int32_t> tokens = {5, 17, 100, 3, 42};
  const std::vector<float> want = single.Prefill(tokens, 5);
  const ParallelLayout layout = *ParallelLayout::Create(4, 2, {});
  RunThreadRanks(4, [&](Communicator& world) {
    auto groups = ProcessGroups::Create(*world.Split(0, world.rank(), "world"),
                                        Topology::OneNode(4), layout);
    ASSERT_TRUE(groups.ok()) << groups.status();
    const ModelParallel parallel = {
        .shard = *RankShard::Of(config, layout, world.rank()),
        .groups = groups->get(),
        .exchange = {},
        .loading = nullptr};
    ModelHarness harness(checkpoint, {.parallel = &parallel});
    const int data_rank = layout.data_rank(world.rank());
    for (const std::vector<int32_t>& rows :
         std::vector<std::vector<int32_t>>{{5, 0}, {0, 5}, {5, 5}}) {
      std::vector<ModelHarness::Slice> slices;
      if (rows[data_rank] > 0) {
        slices.push_back({.tokens = tokens,
                          .start_position = 0,
                          .block_ids = harness.Blocks(5, 0)});
      }
      const std::vector<float> got = harness.Step(slices, nullptr, rows);
      if (rows[data_rank] == 0) {
        EXPECT_TRUE(got.empty());
      } else {
        EXPECT_LE(MaxDifference(got, want) / Largest(want), kRelativeTolerance);
      }
    }
    Batch batch;
    const auto refused = [&](const std::vector<int32_t>& rows,
                             const std::string& message) {
      batch.rows_on_data_ranks = rows;
      const absl::Status status =
          harness.model().Forward(batch, harness.cache(), {}, nullptr);
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
      EXPECT_TRUE(absl::StrContains(status.message(), message)) << status;
    };
    refused({}, "rows_on_data_ranks is empty, must have 2 entries");
    refused({0, 0}, "0 rows, must be in [1, 128]");
    refused({1, 0, 0}, "rows_on_data_ranks has 3 entries, must have 2");
    refused({1, -1}, "data rank 1 has -1 rows, must be in [0, 128]");
    refused({129, 0}, "data rank 0 has 129 rows");
    refused({3, 3}, absl::StrCat("0 rows, but rows_on_data_ranks[", data_rank,
                                 "] is 3"));
  });
}

TEST(TensorParallelLoadTest, OddVocabulariesAndReplicatedHeadsLoadInBf16) {
  ModelConfig config = DenseConfig();
  config.num_kv_heads = 1;
  config.tied_embeddings = false;
  config.activation = ActivationKind::kSwiGlu;
  config.position = PositionKind::kRotary;
  config.rotary_dim = 12;
  const RandomCheckpoint checkpoint(config, DType::kBf16);
  ModelHarness single(checkpoint, {.weight_dtype = DType::kBf16});
  std::vector<int32_t> tokens;
  for (int32_t t = 0; t < 101; ++t) tokens.push_back(t);
  const std::vector<float> want = single.Prefill(tokens, 128);
  RunTensorRanks(config, 4, [&](const ModelParallel& parallel) {
    ModelHarness harness(checkpoint,
                         {.weight_dtype = DType::kBf16, .parallel = &parallel});
    EXPECT_LE(MaxDifference(harness.Prefill(tokens, 128), want) / Largest(want),
              kRelativeTolerance);
  });
}

}  // namespace
}  // namespace moe
