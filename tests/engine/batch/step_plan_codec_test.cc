#include "engine/batch/step_plan_codec.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

using ::testing::HasSubstr;

StepPlanLimits SmallLimits() {
  StepPlanLimits limits;
  limits.data_degree = 3;
  limits.max_rows = 40;
  limits.max_positions = 100;
  limits.vocab_size = 300;
  limits.num_blocks = 64;
  limits.block_size = 4;
  return limits;
}

// A plan within SmallLimits, with shares of all kinds.
StepPlan RandomPlan(std::mt19937* random) {
  const StepPlanLimits limits = SmallLimits();
  const auto below = [&](int64_t bound) {
    return static_cast<int32_t>((*random)() % bound);
  };
  StepPlan plan;
  plan.step_id = (int64_t{below(1 << 30)} << 20) + below(100);
  plan.rank_batches.resize(limits.data_degree);
  std::vector<int32_t> rows;
  for (Batch& rank_batch : plan.rank_batches) {
    rank_batch.step_id = plan.step_id;
    for (int left = below(3) == 0 ? 0 : below(20); left > 0; --left) {
      SequenceSlice slice;
      slice.sequence_id = int64_t{below(1 << 30)} << below(32);
      slice.first_row = static_cast<int32_t>(rank_batch.num_rows());
      slice.num_tokens = 1 + (below(4) == 0 ? below(20) : 0);
      if (rank_batch.num_rows() + slice.num_tokens > limits.max_rows) break;
      slice.start_position = below(limits.max_positions - slice.num_tokens + 1);
      slice.trace_routing = below(3) == 0;
      int64_t blocks =
          (slice.start_position + slice.num_tokens + limits.block_size - 1) /
          limits.block_size;
      if (blocks < 25 && below(2) == 0) ++blocks;
      for (; blocks > 0; --blocks) {
        slice.block_ids.push_back(below(limits.num_blocks));
      }
      for (int32_t i = 0; i < slice.num_tokens; ++i) {
        if (below(2) == 0) {
          rank_batch.logit_rows.push_back(
              static_cast<int32_t>(rank_batch.num_rows()));
        }
        rank_batch.token_ids.push_back(below(limits.vocab_size));
        rank_batch.positions.push_back(slice.start_position + i);
      }
      rank_batch.sequences.push_back(std::move(slice));
    }
    rows.push_back(static_cast<int32_t>(rank_batch.num_rows()));
  }
  for (Batch& rank_batch : plan.rank_batches)
    rank_batch.rows_on_data_ranks = rows;
  return plan;
}

void ExpectEqual(const StepPlan& a, const StepPlan& b) {
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.step_id, b.step_id);
  ASSERT_EQ(a.rank_batches.size(), b.rank_batches.size());
  for (size_t d = 0; d < a.rank_batches.size(); ++d) {
    const Batch& x = a.rank_batches[d];
    const Batch& y = b.rank_batches[d];
    EXPECT_EQ(x.step_id, y.step_id);
    EXPECT_EQ(x.token_ids, y.token_ids);
    EXPECT_EQ(x.positions, y.positions);
    EXPECT_EQ(x.logit_rows, y.logit_rows);
    EXPECT_EQ(x.rows_on_data_ranks, y.rows_on_data_ranks);
    ASSERT_EQ(x.sequences.size(), y.sequences.size());
    for (size_t i = 0; i < x.sequences.size(); ++i) {
      EXPECT_EQ(x.sequences[i].sequence_id, y.sequences[i].sequence_id);
      EXPECT_EQ(x.sequences[i].first_row, y.sequences[i].first_row);
      EXPECT_EQ(x.sequences[i].num_tokens, y.sequences[i].num_tokens);
      EXPECT_EQ(x.sequences[i].start_position, y.sequences[i].start_position);
      EXPECT_EQ(x.sequences[i].trace_routing, y.sequences[i].trace_routing);
      EXPECT_EQ(x.sequences[i].block_ids, y.sequences[i].block_ids);
    }
  }
}

// Whatever a plan of the wrong content is taken for, it keeps to the limits.
void ExpectWithinLimits(const StepPlan& plan) {
  const StepPlanLimits limits = SmallLimits();
  for (const Batch& rank_batch : plan.rank_batches) {
    ASSERT_LE(rank_batch.num_rows(), limits.max_rows);
    ASSERT_EQ(rank_batch.token_ids.size(), rank_batch.positions.size());
    for (const SequenceSlice& slice : rank_batch.sequences) {
      const int64_t end = slice.start_position + slice.num_tokens;
      ASSERT_LE(end, limits.max_positions);
      ASSERT_GE(slice.num_tokens, 1);
      ASSERT_GE(
          static_cast<int64_t>(slice.block_ids.size()) * limits.block_size,
          end);
      for (int32_t block : slice.block_ids) {
        ASSERT_TRUE(block >= 0 && block < limits.num_blocks);
      }
    }
    for (int32_t token : rank_batch.token_ids) {
      ASSERT_TRUE(token >= 0 && token < limits.vocab_size);
    }
    ASSERT_TRUE(std::is_sorted(rank_batch.logit_rows.begin(),
                               rank_batch.logit_rows.end()));
    if (!rank_batch.logit_rows.empty()) {
      ASSERT_LT(rank_batch.logit_rows.back(), rank_batch.num_rows());
    }
  }
}

// As the encoder does: so that damage reaches what lies behind the checksum.
void Sign(std::vector<uint8_t>* bytes) {
  uint32_t sum = 2166136261u;
  for (size_t i = 8; i < bytes->size(); ++i) {
    sum = (sum ^ (*bytes)[i]) * 16777619u;
  }
  for (int i = 0; i < 4; ++i) {
    (*bytes)[4 + i] = static_cast<uint8_t>(sum >> (8 * i));
  }
}

TEST(StepPlanCodecTest, PlansComeBackAsTheyWere) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const StepPlan plan = RandomPlan(&random);
    std::vector<uint8_t> bytes = {9, 9};  // kept
    EncodeStepPlan(plan, &bytes);
    ASSERT_LE(bytes.size() - 2, MaxPlanBytes(SmallLimits()));
    const absl::StatusOr<StepPlan> back =
        DecodeStepPlan(absl::MakeSpan(bytes).subspan(2), SmallLimits());
    ASSERT_TRUE(back.ok()) << back.status();
    ExpectEqual(plan, *back);
  }
}

TEST(StepPlanCodecTest, PlansWithoutSharesComeBackToo) {
  for (const auto kind : {StepPlan::Kind::kIdle, StepPlan::Kind::kShutdown}) {
    StepPlan plan;
    plan.kind = kind;
    plan.step_id = -1;
    std::vector<uint8_t> bytes;
    EncodeStepPlan(plan, &bytes);
    const absl::StatusOr<StepPlan> back = DecodeStepPlan(bytes, SmallLimits());
    ASSERT_TRUE(back.ok()) << back.status();
    ExpectEqual(plan, *back);
  }
}

TEST(StepPlanCodecTest, DecodeRowsTakeADozenBytesAndOneForEachBlock) {
  StepPlan plan;
  plan.rank_batches.resize(3);
  for (int i = 0; i < 32; ++i) {
    SequenceSlice slice;
    slice.sequence_id = 100000 + i;
    slice.num_tokens = 1;
    slice.start_position = 99;
    for (int32_t b = 0; b < 25; ++b) slice.block_ids.push_back(b + i);
    plan.rank_batches[0].sequences.push_back(slice);
    plan.rank_batches[0].token_ids.push_back(299);
    plan.rank_batches[0].logit_rows.push_back(i);
  }
  std::vector<uint8_t> bytes;
  EncodeStepPlan(plan, &bytes);
  EXPECT_LE(bytes.size(), 32u * (12 + 25));
}

TEST(StepPlanCodecTest, NoTruncatedPlanIsTaken) {
  std::mt19937 random(2);
  std::vector<uint8_t> bytes;
  EncodeStepPlan(RandomPlan(&random), &bytes);
  for (size_t size = 0; size < bytes.size(); ++size) {
    std::vector<uint8_t> cut(bytes.begin(), bytes.begin() + size);
    EXPECT_EQ(DecodeStepPlan(cut, SmallLimits()).status().code(),
              absl::StatusCode::kInvalidArgument);
    if (size < 17) continue;
    Sign(&cut);
    EXPECT_EQ(DecodeStepPlan(cut, SmallLimits()).status().code(),
              absl::StatusCode::kInvalidArgument)
        << size;
  }
  bytes.push_back(0);
  Sign(&bytes);
  EXPECT_THAT(DecodeStepPlan(bytes, SmallLimits()).status().ToString(),
              HasSubstr("1 bytes after its end"));
}

TEST(StepPlanCodecTest, NoChangedByteGoesUnseen) {
  std::mt19937 random(3);
  std::vector<uint8_t> bytes;
  EncodeStepPlan(RandomPlan(&random), &bytes);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::vector<uint8_t> damaged = bytes;
      damaged[i] ^= static_cast<uint8_t>(1 << bit);
      EXPECT_EQ(DecodeStepPlan(damaged, SmallLimits()).status().code(),
                absl::StatusCode::kInvalidArgument)
          << "byte " << i;
    }
  }
}

TEST(StepPlanCodecTest, WhatIsTakenIsWithinTheLimitsWhateverItSays) {
  std::mt19937 random(4);
  int taken = 0;
  for (int i = 0; i < 20000; ++i) {
    std::vector<uint8_t> bytes;
    EncodeStepPlan(RandomPlan(&random), &bytes);
    for (int changes = 1 + static_cast<int>(random() % 3); changes > 0;
         --changes) {
      bytes[17 + random() % (bytes.size() - 17)] =
          static_cast<uint8_t>(random() % 2 == 0 ? random() : 0xff);
    }
    Sign(&bytes);
    const absl::StatusOr<StepPlan> plan = DecodeStepPlan(bytes, SmallLimits());
    if (!plan.ok()) continue;
    ++taken;
    ExpectWithinLimits(*plan);
    if (testing::Test::HasFatalFailure()) return;
  }
  EXPECT_GT(taken, 100);  // a changed token is a token
}

TEST(StepPlanCodecTest, ErrorsNameWhatIsWrong) {
  std::mt19937 random(5);
  StepPlan plan = RandomPlan(&random);
  while (plan.rank_batches[1].sequences.size() < 3) plan = RandomPlan(&random);
  plan.rank_batches[1].sequences[2].block_ids[0] = 64;
  std::vector<uint8_t> bytes;
  EncodeStepPlan(plan, &bytes);
  EXPECT_THAT(DecodeStepPlan(bytes, SmallLimits()).status().ToString(),
              HasSubstr("share of data rank 1: sequence 2: block id is 64, "
                        "not in [0, 63]"));
  bytes.clear();
  plan.rank_batches[1].sequences[2].block_ids[0] = 0;
  EncodeStepPlan(plan, &bytes);
  bytes[0] ^= 1;
  EXPECT_THAT(DecodeStepPlan(bytes, SmallLimits()).status().ToString(),
              HasSubstr("do all ranks run the same program?"));
}

}  // namespace
}  // namespace moe
