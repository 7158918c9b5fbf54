// Loading on many ranks: each reads its part, whatever wrote the files, and
// damage in any part is found.

#include <atomic>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/models/load_model.h"
#include "engine/parallel/parallel_layout.h"
#include "engine/parallel/process_groups.h"
#include "engine/parallel/rank_shard.h"
#include "gtest/gtest.h"
#include "kernels/core/stream.h"
#include "tests/engine/models/model_harness.h"
#include "tests/engine/models/tensor_ranks.h"
#include "tests/fakes/random_checkpoint.h"
#include "tests/support/golden.h"
#include "tests/support/temp_checkpoint.h"
#include "tests/support/test_device.h"

namespace moe {
namespace {

// Of the largest logit: sums are rounded in another order.
constexpr float kRelativeTolerance = 2e-6f;

// Bytes of the f32 weights that a rank reads. The embedding, which is tied, is
// read for the logits again; checksums cost nothing.
int64_t WeightBytes(const ModelConfig& config, const RankShard& shard) {
  int64_t vocab = shard.Vocab(config).size();
  if (shard.tensor_rank == shard.tensor_degree - 1) {
    vocab += config.padded_vocab_size - config.vocab_size;
  }
  return 4 * (shard.CountParameters(config) + vocab * config.hidden_size);
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

  RunRanks(
      config, TensorLayout(config, degree), [&](const ModelParallel& parallel) {
        const RankShard& shard = parallel.shard;
        const std::unique_ptr<Checkpoint> checkpoint = OpenOrDie(
            directory, {.rank = shard.tensor_rank, .num_ranks = degree});
        const int64_t opened = checkpoint->bytes_read();
        ModelHarness harness(*checkpoint, {.parallel = &parallel});
        EXPECT_EQ(checkpoint->bytes_read() - opened,
                  WeightBytes(config, shard));
        EXPECT_LE(
            MaxDifference(harness.Prefill(tokens, 32), want) / Largest(want),
            kRelativeTolerance);
      });
}

INSTANTIATE_TEST_SUITE_P(Degrees, ReshardingTest, testing::Values(1, 2, 4));

TEST(ShardedLoadTest, ReadsAShareOfADenseModel) {
  const std::string directory = GoldenDirectory("dense_head");
  const std::unique_ptr<Checkpoint> whole = OpenOrDie(directory);
  const ModelConfig config = whole->config();
  const int64_t opened = whole->bytes_read();  // descriptions
  ModelHarness single(*whole, {});
  const auto all = static_cast<double>(whole->bytes_read() - opened);
  for (const int degree : {2, 4}) {
    RunRanks(config, TensorLayout(config, degree),
             [&](const ModelParallel& parallel) {
               const std::unique_ptr<Checkpoint> checkpoint = OpenOrDie(
                   directory,
                   {.rank = parallel.shard.tensor_rank, .num_ranks = degree});
               EXPECT_EQ(checkpoint->bytes_read(), opened);
               ModelHarness harness(*checkpoint, {.parallel = &parallel});
               // Norms and positions are whole on all.
               EXPECT_LT(static_cast<double>(checkpoint->bytes_read() - opened),
                         1.1 / degree * all);
             });
  }
}

// The bytes of a float32 weight, as its file has them.
std::string ValuesOf(const Checkpoint& checkpoint, const std::string& name) {
  const auto weight = checkpoint.Get(name);
  EXPECT_TRUE(weight.ok()) << weight.status();
  if (!weight.ok()) return name;  // in no file
  return std::string(weight->view.ptr<char>(),
                     static_cast<size_t>(weight->view.num_elements()) * 4);
}

TEST(ShardedLoadTest, DamageInAnyRanksShareIsFound) {
  TempCheckpoint damaged("prmoe_head");
  const std::string path = damaged.tag_path() + "/mp_rank_00_model_states.pt";
  const std::string good = ReadFileOrDie(path);
  const ModelConfig config = OpenOrDie(damaged.path())->config();
  for (const char* name :
       {"embedding.weight", "layers.1.attention.qkv.weight",
        "layers.0.mlp.down.weight", "layers.3.mlp.up.bias"}) {
    const std::string pattern = ValuesOf(*OpenOrDie(damaged.path()), name);
    const size_t at = good.find(pattern);
    ASSERT_NE(at, std::string::npos);
    for (const size_t offset : {size_t{1}, pattern.size() - 3}) {
      std::string bad = good;
      bad[at + offset] ^= 0x01;
      WriteFileOrDie(path, bad);
      std::atomic<int> failures = 0;
      RunRanks(
          config, TensorLayout(config, 2), [&](const ModelParallel& parallel) {
            ThreadPool pool(1);
            const auto stream = *TestStream()(pool);
            const absl::Status status =
                LoadModel(*OpenOrDie(damaged.path()), {.parallel = &parallel},
                          *stream, [](int64_t, int64_t) {})
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

// In the last of a weight's values, which one rank alone reads; its checksum is
// compared when all is read.
TEST(ShardedLoadTest, AValueThatIsNotFiniteInAnyRanksShareIsFound) {
  TempCheckpoint damaged("prmoe_head");
  const ModelConfig config = OpenOrDie(damaged.path())->config();
  const std::string path = damaged.tag_path() + "/mp_rank_00_model_states.pt";
  for (const char* name :
       {"embedding.weight", "layers.0.mlp.down.weight",
        "layers.1.attention.qkv.bias", "layers.3.mlp.up.bias"}) {
    const std::string good = ReadFileOrDie(path);
    const std::string pattern = ValuesOf(*OpenOrDie(damaged.path()), name);
    EXPECT_EQ(OpenOrDie(damaged.path())->FilesOf(name), path);
    const size_t at = good.find(pattern);
    ASSERT_NE(at, std::string::npos);
    std::string bad = good;
    const uint32_t nan = 0xffc00000;
    std::memcpy(&bad[at + pattern.size() - 4], &nan, sizeof(nan));
    WriteFileOrDie(path, bad);
    std::atomic<int> failures = 0;
    RunRanks(
        config, TensorLayout(config, 2), [&](const ModelParallel& parallel) {
          ThreadPool pool(1);
          const auto stream = *TestStream()(pool);
          const absl::Status status =
              LoadModel(*OpenOrDie(damaged.path()), {.parallel = &parallel},
                        *stream, [](int64_t, int64_t) {})
                  .status();
          const std::string want = absl::StrCat(name, " in ", path, ": 1 of");
          if (absl::StrContains(status.message(), want)) ++failures;
        });
    EXPECT_GE(failures, 1) << name;
    WriteFileOrDie(path, good);
  }
}

// Four ranks, in pairs that have halves of the experts, two tensor ranks each.
TEST(ExpertSliceLoadTest, EachReadsItsSliceAndDamageInAnyIsFound) {
  TempCheckpoint files("prmoe_head");
  const std::string path = files.File("layer_2_expert_7_");
  const std::string good = ReadFileOrDie(path);
  const char name[] = "layers.5.experts.7.down.weight";
  const std::string pattern = ValuesOf(*OpenOrDie(files.path()), name);
  const ModelConfig config = OpenOrDie(files.path())->config();
  const size_t at = good.find(pattern);
  ASSERT_NE(at, std::string::npos);
  std::vector<MoeLayerDegrees> layers;
  for (const int layer : {1, 3, 5}) {
    layers.push_back(
        {.layer = layer,
         .num_experts = static_cast<int>(config.num_experts(layer)),
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
    RunRanks(config, layout, [&](const ModelParallel& parallel) {
      const std::unique_ptr<Checkpoint> checkpoint = OpenOrDie(files.path());
      const int64_t opened = checkpoint->bytes_read();
      ThreadPool pool(1);
      const auto stream = *TestStream()(pool);
      const absl::Status status =
          LoadModel(*checkpoint, {.parallel = &parallel}, *stream,
                    [](int64_t, int64_t) {})
              .status();
      if (!damaged) {
        EXPECT_TRUE(status.ok()) << status;
        EXPECT_EQ(checkpoint->bytes_read() - opened,
                  WeightBytes(config, parallel.shard));
      } else if (status.code() == absl::StatusCode::kDataLoss) {
        EXPECT_TRUE(absl::StrContains(status.message(), name)) << status;
        ++failures;
      }
    });
    EXPECT_EQ(failures > 0, damaged);
  }
}

TEST(ShardedLoadTest, ARankThatFailsTellsTheOthersAtOnce) {
  const ModelConfig config = SmallDenseConfig();
  const absl::Time start = absl::Now();
  RunRanks(config, TensorLayout(config, 4), [&](const ModelParallel& groups) {
    RandomCheckpoint checkpoint(config);
    const int rank = groups.shard.tensor_rank;
    if (rank == 2) checkpoint.Remove("layers.3.mlp.up.bias");
    ModelParallel parallel = groups;
    parallel.loading = &groups.groups->world();
    ThreadPool pool(1);
    const auto stream = *TestStream()(pool);
    const absl::Status status = LoadModel(checkpoint, {.parallel = &parallel},
                                          *stream, [](int64_t, int64_t) {})
                                    .status();
    EXPECT_EQ(status.code(), rank == 2 ? absl::StatusCode::kNotFound
                                       : absl::StatusCode::kAborted);
    EXPECT_TRUE(absl::StrContains(status.message(), "layers.3.mlp.up.bias"))
        << status;
  });
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

}  // namespace
}  // namespace moe
