#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "engine/scheduler/scheduler.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kBlockSize = 4;

class SchedulerDataRanksTest : public testing::Test {
 protected:
  void Make(int data_degree, int64_t num_blocks,
            SchedulerOptions options = {}) {
    blocks_.assign(data_degree, BlockManager(num_blocks, kBlockSize));
    scheduler_ = std::make_unique<Scheduler>(options, absl::MakeSpan(blocks_));
  }

  void Add(int64_t key, int64_t prompt_tokens, int64_t max_new_tokens,
           int32_t num_answers = 1) {
    ScheduledRequest request;
    request.key = key;
    request.prompt.assign(prompt_tokens, 5);
    request.stopping.max_new_tokens = max_new_tokens;
    request.num_answers = num_answers;
    scheduler_->Add(std::move(request));
  }

  // A step whose tokens are all 7. Of each share: rows by request.
  std::vector<std::map<int64_t, int64_t>> Step() {
    const ScheduledStep step = scheduler_->NextBatch();
    std::vector<std::map<int64_t, int64_t>> rows_by_rank(blocks_.size());
    size_t task = 0;
    for (size_t d = 0; d < blocks_.size(); ++d) {
      const Batch& rank_batch = step.plan.rank_batches[d];
      for (const SequenceSlice& slice : rank_batch.sequences) {
        while (task < step.logit_tasks.size() &&
               !key_of_.contains(slice.sequence_id)) {
          // Prompts fit one step here, so every slice has a task.
          key_of_[slice.sequence_id] = step.logit_tasks[task].request_key;
        }
        rows_by_rank[d][key_of_[slice.sequence_id]] += slice.num_tokens;
        ++task;
      }
    }
    std::vector<absl::StatusOr<SampledToken>> results;
    for (size_t i = 0; i < step.logit_tasks.size(); ++i) {
      SampledToken token;
      token.token_id = 7;
      results.push_back(token);
    }
    scheduler_->Commit(std::move(results));
    return rows_by_rank;
  }

  std::vector<BlockManager> blocks_;
  std::unique_ptr<Scheduler> scheduler_;
  std::map<int64_t, int64_t> key_of_;
};

using Rows = std::map<int64_t, int64_t>;

TEST_F(SchedulerDataRanksTest, SpreadsSequencesByFreeBlocks) {
  Make(3, 16);
  Add(1, 9, 5);  // 3 blocks
  Add(2, 2, 5);
  Add(3, 2, 5);
  Add(4, 2, 5);  // where 15 are free: the first of two
  EXPECT_THAT(Step(),
              ElementsAre(Rows{{1, 9}}, Rows{{2, 2}, {4, 2}}, Rows{{3, 2}}));
  Add(5, 1, 5);
  EXPECT_THAT(Step(), ElementsAre(Rows{{1, 1}}, Rows{{2, 1}, {4, 1}},
                                  Rows{{3, 1}, {5, 1}}));
}

TEST_F(SchedulerDataRanksTest, OfEquallyFreeRanksTakesTheOneWithFewerRows) {
  Make(2, 16);
  Add(1, 4, 5);
  Add(2, 1, 5);
  Add(3, 1, 5);
  // All have 15 free blocks after the first two.
  EXPECT_THAT(Step(), ElementsAre(Rows{{1, 4}}, Rows{{2, 1}, {3, 1}}));
}

TEST_F(SchedulerDataRanksTest, SharesMayBeEmpty) {
  Make(4, 16);
  Add(1, 3, 2);
  EXPECT_THAT(Step(), ElementsAre(Rows{{1, 3}}, Rows{}, Rows{}, Rows{}));
  EXPECT_THAT(Step(), ElementsAre(Rows{{1, 1}}, Rows{}, Rows{}, Rows{}));
  EXPECT_FALSE(scheduler_->has_work());
}

TEST_F(SchedulerDataRanksTest, AnswersThatShareAPromptStayTogether) {
  Make(2, 32);
  Add(1, 8, 6, 3);
  EXPECT_THAT(Step(), ElementsAre(Rows{{1, 8}}, Rows{}));
  // The two others share two blocks with the first but compute four tokens.
  EXPECT_THAT(Step(), ElementsAre(Rows{{1, 1 + 4 + 4}}, Rows{}));
  EXPECT_THAT(Step(), ElementsAre(Rows{{1, 3}}, Rows{}));
}

TEST_F(SchedulerDataRanksTest, LimitsHoldForEachDataRank) {
  SchedulerOptions options;
  options.max_running_sequences = 2;
  options.max_step_tokens = 6;
  Make(2, 32, options);
  for (int64_t key = 1; key <= 6; ++key) Add(key, 3, 9);
  EXPECT_THAT(Step(), ElementsAre(Rows{{1, 3}, {3, 3}}, Rows{{2, 3}, {4, 3}}));
  EXPECT_EQ(scheduler_->load().running_sequences, 4);
  EXPECT_EQ(scheduler_->load().waiting_requests, 2);
  EXPECT_EQ(scheduler_->load().waiting_tokens, 6);
  // A sequence must fit one data rank.
  EXPECT_TRUE(scheduler_->CheckFits(100, 29).ok());
  EXPECT_THAT(scheduler_->CheckFits(100, 30).ToString(),
              HasSubstr("there are 32"));
}

TEST_F(SchedulerDataRanksTest, PreemptsWithinTheDataRankThatIsShort) {
  Make(2, 4);
  Add(1, 8, 9);  // 4 blocks in the end
  Add(2, 2, 3);
  Add(3, 4, 4);  // on the second: there, 3 blocks are free
  EXPECT_THAT(Step(), ElementsAre(Rows{{1, 8}}, Rows{{2, 2}, {3, 4}}));
  Add(4, 1, 9);  // no room for it beside the running ones' next blocks
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(Step(), ElementsAre(Rows{{1, 1}}, Rows{{2, 1}, {3, 1}}));
  }
  int steps = 0;
  while (scheduler_->has_work()) {
    ASSERT_LT(++steps, 50);
    Step();
  }
  for (const BlockManager& blocks : blocks_) EXPECT_EQ(blocks.num_free(), 4);
}

TEST_F(SchedulerDataRanksTest, APreemptedSequenceMayGoOnElsewhere) {
  Make(2, 4);
  Add(1, 4, 5);
  Add(2, 8, 2);  // the second data rank, and soon gone
  Add(3, 4, 9);  // beside the first
  EXPECT_THAT(Step(), ElementsAre(Rows{{1, 4}, {3, 4}}, Rows{{2, 8}}));
  for (int i = 0; i < 4; ++i) Step();
  // Both have needed a second and now a third block: four are there.
  std::set<int64_t> on_second;
  int steps = 0;
  while (scheduler_->has_work()) {
    ASSERT_LT(++steps, 50);
    const auto rows_by_rank = Step();
    for (const auto& [key, rows] : rows_by_rank[1]) on_second.insert(key);
  }
  EXPECT_EQ(scheduler_->load().preemptions, 0);
  EXPECT_TRUE(on_second.empty());

  Make(2, 4);
  key_of_.clear();
  Add(1, 4, 13);
  Add(2, 8, 2);
  Add(3, 4, 9);
  while (scheduler_->has_work()) {
    ASSERT_LT(++steps, 100);
    const auto rows_by_rank = Step();
    for (const auto& [key, rows] : rows_by_rank[1]) on_second.insert(key);
  }
  EXPECT_GE(scheduler_->load().preemptions, 1);
  EXPECT_THAT(on_second, ElementsAre(2, 3));
}

TEST_F(SchedulerDataRanksTest, KeepsADataRankForWhoFindsRoomNowhere) {
  Make(2, 8);
  Add(1, 16, 16);  // 4 blocks, later 8
  Add(2, 12, 12);  // 3 blocks, later 6
  EXPECT_THAT(Step(), ElementsAre(Rows{{1, 16}}, Rows{{2, 12}}));
  Add(3, 28, 1);  // 7 blocks: nowhere; the second data rank is kept for it
  for (int64_t key = 4; key < 24; ++key) Add(key, 1, 2);
  bool third_ran = false;
  for (int i = 0; i < 14; ++i) {
    const auto rows_by_rank = Step();
    third_ran |= rows_by_rank[1].contains(3);
    for (const auto& [key, rows] : rows_by_rank[1]) {
      EXPECT_TRUE(key == 2 || third_ran) << key << " overtook in step " << i;
    }
    // The first goes on with the small ones behind it.
    EXPECT_TRUE(i > 0 || rows_by_rank[0].contains(4));
  }
  EXPECT_TRUE(third_ran);
}

}  // namespace
}  // namespace moe
