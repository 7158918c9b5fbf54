// Ranks that read parts of weights get the right values, read no other bytes,
// and detect damage.

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "engine/checkpoint/partial_checksum.h"
#include "engine/config/weight_inventory.h"
#include "engine/config/weight_slice.h"
#include "engine/loading/open_checkpoint.h"
#include "gtest/gtest.h"
#include "tests/support/cut_weight.h"
#include "tests/support/golden.h"
#include "tests/support/temp_checkpoint.h"
#include "tests/support/weight_values.h"

namespace moe {
namespace {

std::unique_ptr<Checkpoint> Open(const std::string& path, int rank = 0,
                                 int num_ranks = 1) {
  CheckpointOptions options;
  options.rank = rank;
  options.num_ranks = num_ranks;
  auto checkpoint = OpenCheckpoint(path, options);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return checkpoint.ok() ? *std::move(checkpoint) : nullptr;
}

int64_t NumBytes(const TensorView& view) {
  return view.num_elements() * static_cast<int64_t>(SizeOf(view.dtype));
}

// Part `part` of `parts` of the rows of a weight; of its columns; and of the
// rows of both its halves, the second half first.
std::vector<WeightSlice> SlicesOf(const WeightSpec& spec, int part, int parts) {
  const int64_t rows = spec.dims[0], half = rows / 2;
  std::vector<WeightSlice> slices(2);
  slices[0].rows = {PartitionRange(rows, part, parts)};
  const IndexRange of_half = PartitionRange(half, part, parts);
  slices[1].rows = {{half + of_half.begin, half + of_half.end}, of_half};
  if (spec.dims.size() == 2) {
    WeightSlice columns;
    columns.columns = PartitionRange(spec.dims[1], part, parts);
    slices.push_back(columns);
    columns.rows = slices[1].rows;
    slices.push_back(columns);
  }
  return slices;
}

class ShardedReadingTest : public testing::TestWithParam<const char*> {};

TEST_P(ShardedReadingTest, EverySliceHasTheValuesOfTheWholeAndReadsNoMore) {
  const auto checkpoint = Open(GoldenDirectory(GetParam()));
  ASSERT_NE(checkpoint, nullptr);
  int64_t slices = 0;
  for (const WeightSpec& spec : WeightInventory(checkpoint->config()).All()) {
    const auto whole = checkpoint->Get(spec.name);
    ASSERT_TRUE(whole.ok()) << whole.status();
    for (int parts : {1, 2, 3, 4}) {
      for (int part = 0; part < parts; ++part) {
        for (const WeightSlice& slice : SlicesOf(spec, part, parts)) {
          const int64_t before = checkpoint->bytes_read();
          const auto got = checkpoint->GetShard(spec.name, slice);
          ASSERT_TRUE(got.ok()) << got.status();
          const auto want = CutWeight(whole->view, slice);
          ASSERT_TRUE(want.ok()) << want.status();
          ASSERT_EQ(got->view.ShapeString(), want->view.ShapeString());
          EXPECT_TRUE(got->view.is_contiguous());
          EXPECT_EQ(WeightValues(got->view), WeightValues(want->view))
              << spec.name << " part " << part << " of " << parts;
          EXPECT_EQ(checkpoint->bytes_read() - before, NumBytes(got->view));
          ++slices;
        }
      }
    }
  }
  EXPECT_GT(slices, 500);
}

// Ranks that have one part each of all matrices verify their checksums together
// without reading more.
TEST_P(ShardedReadingTest, RanksShareTheChecksums) {
  for (const int ranks : {2, 4}) {
    std::vector<std::unique_ptr<Checkpoint>> checkpoints;
    std::vector<int64_t> read;
    std::vector<PartialChecksum> all;
    for (int rank = 0; rank < ranks; ++rank) {
      checkpoints.push_back(Open(GoldenDirectory(GetParam()), rank, ranks));
      for (const WeightSpec& spec :
           WeightInventory(checkpoints[0]->config()).All()) {
        const std::vector<WeightSlice> slices = SlicesOf(spec, rank, ranks);
        // Columns, rows of both halves and rows, alternately.
        const WeightSlice& slice = slices[spec.name.size() % slices.size() % 3];
        if (spec.dims[0] % 2 != 0) continue;
        ASSERT_TRUE(checkpoints[rank]->GetShard(spec.name, slice).ok());
        // A second use of the same weight does not count.
        ASSERT_TRUE(checkpoints[rank]->GetShard(spec.name, slice).ok());
      }
      const auto sums = checkpoints[rank]->TakePartialChecksums();
      EXPECT_TRUE(checkpoints[rank]->TakePartialChecksums().empty());
      all.insert(all.end(), sums.begin(), sums.end());
      read.push_back(checkpoints[rank]->bytes_read());
    }
    const auto merged = MergePartialChecksums(all);
    for (int rank = 0; rank < ranks; ++rank) {
      const absl::Status status =
          checkpoints[rank]->CheckPartialChecksums(merged, rank, ranks);
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_EQ(checkpoints[rank]->bytes_read(), read[rank]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, ShardedReadingTest,
                         testing::Values("dense_head", "moe_gqa_pre",
                                         "prmoe_bf16_zero1_pre",
                                         "prmoe_tp2_ep2_head"),
                         [](const auto& info) {
                           return std::string(info.param);
                         });

// Other layouts of files; few have checksums that can be shared.
class ShardedVariantsTest : public testing::TestWithParam<const char*> {};

TEST_P(ShardedVariantsTest, EverySliceHasTheValuesOfTheWhole) {
  const auto checkpoint =
      Open(GoldenDirectory(std::string("variants/") + GetParam()));
  ASSERT_NE(checkpoint, nullptr);
  for (const WeightSpec& spec : WeightInventory(checkpoint->config()).All()) {
    const auto whole = checkpoint->Get(spec.name);
    ASSERT_TRUE(whole.ok()) << whole.status();
    for (int parts : {1, 2, 3, 4}) {
      for (int part = 0; part < parts; ++part) {
        for (const WeightSlice& slice : SlicesOf(spec, part, parts)) {
          const auto got = checkpoint->GetShard(spec.name, slice);
          ASSERT_TRUE(got.ok()) << got.status();
          EXPECT_EQ(WeightValues(got->view),
                    WeightValues(CutWeight(whole->view, slice)->view))
              << spec.name << " part " << part << " of " << parts;
        }
      }
    }
  }
  const auto sums = checkpoint->TakePartialChecksums();
  const absl::Status status = checkpoint->CheckPartialChecksums(sums, 0, 1);
  EXPECT_TRUE(status.ok()) << status;
}

INSTANTIATE_TEST_SUITE_P(
    Files, ShardedVariantsTest,
    testing::Values("residual_a_tp2", "swiglu_gqa_tp2", "expert_slices",
                    "expert_slices_swiglu", "replicas_differ", "q_k_v_tp2",
                    "gqa_separate_tp2", "old_experts_version_1", "version_0",
                    "not_zip", "not_zip_transposed", "shared_storage",
                    "transposed", "file_object"),
    [](const auto& info) { return std::string(info.param); });

TEST(ShardedReadingErrorsTest, SlicesThatLeaveTheWeightAreRefused) {
  const auto checkpoint = Open(GoldenDirectory("prmoe_tp2_ep2_head"));
  ASSERT_NE(checkpoint, nullptr);
  struct Bad {
    std::vector<IndexRange> rows;
    std::optional<IndexRange> columns;
    const char* message;
  };
  const Bad all[] = {
      {{{0, 65}}, {}, "of 64 rows: the slice of rows [0, 65) leaves it"},
      {{{-1, 2}}, {}, "rows [-1, 2)"},
      {{{3, 2}}, {}, "rows [3, 2)"},
      {{{0, 3}, {2, 4}}, {}, "rows [2, 4) leaves it or overlaps"},
      {{}, {{0, 129}}, "of 128 columns: the slice of columns [0, 129)"},
      {{}, {{-1, 1}}, "columns [-1, 1)"},
      {{}, {{9, 7}}, "columns [9, 7)"},
  };
  for (const Bad& bad : all) {
    WeightSlice slice;
    slice.rows = bad.rows;
    slice.columns = bad.columns;
    const absl::Status status =
        checkpoint->GetShard("layers.0.mlp.down.weight", slice).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(absl::StrContains(status.message(), bad.message)) << status;
  }
  WeightSlice slice;
  slice.rows = {{0, 1}};
  EXPECT_EQ(checkpoint->GetShard("nonsense", slice).status().code(),
            absl::StatusCode::kNotFound);
  const PartialChecksum foreign[] = {{.storage = int64_t{1000} << 32}};
  EXPECT_EQ(checkpoint->CheckPartialChecksums(foreign, 0, 1).code(),
            absl::StatusCode::kInvalidArgument);
  const PartialChecksum beyond[] = {{.storage = 100000}};
  EXPECT_EQ(checkpoint->CheckPartialChecksums(beyond, 0, 1).code(),
            absl::StatusCode::kInvalidArgument);
}

// The statuses of the ranks that read the rows of `rows_of` of a weight and
// then compare checksums, and the bytes that the comparison made them read.
struct Comparison {
  std::vector<absl::Status> statuses;
  int64_t bytes = 0;
};
Comparison Compare(const std::string& path, const std::string& name,
                   const std::vector<IndexRange>& rows_of) {
  const int ranks = static_cast<int>(rows_of.size());
  std::vector<std::unique_ptr<Checkpoint>> checkpoints;
  std::vector<PartialChecksum> all;
  for (int rank = 0; rank < ranks; ++rank) {
    checkpoints.push_back(Open(path, rank, ranks));
    WeightSlice slice;
    slice.rows = {rows_of[rank]};
    EXPECT_TRUE(checkpoints[rank]->GetShard(name, slice).ok());
    const auto sums = checkpoints[rank]->TakePartialChecksums();
    all.insert(all.end(), sums.begin(), sums.end());
  }
  Comparison result;
  for (int rank = 0; rank < ranks; ++rank) {
    const int64_t before = checkpoints[rank]->bytes_read();
    result.statuses.push_back(checkpoints[rank]->CheckPartialChecksums(
        MergePartialChecksums(all), rank, ranks));
    result.bytes += checkpoints[rank]->bytes_read() - before;
  }
  return result;
}

constexpr char kName[] = "layers.2.mlp.up.weight";  // [128, 64] f32
constexpr int64_t kWeightBytes = 128 * 64 * 4;

TEST(SharedChecksumsTest, WhatRanksDoNotCoverExactlyIsReadByOneOfThem) {
  const std::string path = GoldenDirectory("prmoe_head");
  const auto bytes = [&](const std::vector<IndexRange>& rows) {
    const Comparison result = Compare(path, kName, rows);
    for (const absl::Status& status : result.statuses) {
      EXPECT_TRUE(status.ok()) << status;
    }
    return result.bytes;
  };
  EXPECT_EQ(bytes({{0, 64}, {64, 128}}), 0);
  EXPECT_EQ(bytes({{0, 128}}), 0);
  EXPECT_EQ(bytes({{64, 128}, {0, 30}, {30, 64}}), 0);
  EXPECT_EQ(bytes({{0, 64}, {60, 128}}), kWeightBytes);  // some twice
  EXPECT_EQ(bytes({{0, 64}, {64, 127}}), kWeightBytes);  // some not
  EXPECT_EQ(bytes({{0, 64}, {0, 64}}), kWeightBytes);    // both
  EXPECT_EQ(bytes({{0, 1}, {1, 2}, {127, 128}}), kWeightBytes);
}

TEST(SharedChecksumsTest, DamageAnywhereIsFoundAndNamed) {
  TempCheckpoint damaged("prmoe_head");
  const std::string path = damaged.tag_path() + "/mp_rank_00_model_states.pt";
  const std::string good = ReadFileOrDie(path);
  std::string pattern;
  {
    const auto checkpoint = Open(damaged.path());
    const auto weight = checkpoint->Get(kName);
    ASSERT_TRUE(weight.ok());
    pattern.assign(weight->view.ptr<char>(), kWeightBytes);
  }
  const size_t at = good.find(pattern);
  ASSERT_NE(at, std::string::npos);
  for (const size_t offset : {size_t{0}, pattern.size() / 2 - 1,
                              pattern.size() / 2, pattern.size() - 1}) {
    std::string bad = good;
    bad[at + offset] ^= 0x10;
    WriteFileOrDie(path, bad);
    for (const auto& rows : std::vector<std::vector<IndexRange>>{
             {{0, 64}, {64, 128}}, {{0, 64}, {0, 64}}, {{0, 1}, {1, 2}}}) {
      const Comparison result = Compare(damaged.path(), kName, rows);
      int failures = 0;
      for (const absl::Status& status : result.statuses) {
        if (status.ok()) continue;
        ++failures;
        EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
        EXPECT_TRUE(absl::StrContains(status.message(), path)) << status;
        EXPECT_TRUE(absl::StrContains(status.message(), kName)) << status;
        EXPECT_TRUE(absl::StrContains(status.message(), "checksum")) << status;
      }
      EXPECT_EQ(failures, 1);
    }
  }
}

TEST(ReplicaSharesTest, EachCopyIsComparedByOneRank) {
  // Those with equal checksums are not read at all.
  const std::string path = GoldenDirectory("variants/replicas_differ");
  const int64_t alone = Open(path)->bytes_read();
  size_t warnings = 0;
  for (int rank = 0; rank < 3; ++rank) {
    const auto checkpoint = Open(path, rank, 3);
    warnings += checkpoint->warnings().size();
    // The one that differs: [24, 16] f32, twice.
    EXPECT_EQ(checkpoint->bytes_read(),
              checkpoint->warnings().empty() ? alone - 2 * 24 * 16 * 4 : alone);
  }
  EXPECT_EQ(warnings, 1u);
  for (const auto& [rank, ranks] : {std::pair{2, 2}, {-1, 2}, {0, 0}}) {
    CheckpointOptions options;
    options.rank = rank;
    options.num_ranks = ranks;
    EXPECT_EQ(OpenCheckpoint(path, options).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace moe
