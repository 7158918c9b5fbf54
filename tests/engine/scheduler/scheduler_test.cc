#include "engine/scheduler/scheduler.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ScheduledRequest MakeRequest(int64_t key, int64_t prompt_tokens,
                             int64_t max_new_tokens, int32_t priority = 0) {
  ScheduledRequest request;
  request.key = key;
  for (int64_t i = 0; i < prompt_tokens; ++i) {
    request.prompt.push_back(static_cast<int32_t>(100 * key + i));
  }
  request.stopping.max_new_tokens = max_new_tokens;
  request.priority = priority;
  return request;
}

// A scheduler whose sampled tokens are 7 unless the test sets others.
class SchedulerTest : public testing::Test {
 protected:
  void Make(int64_t num_blocks, SchedulerOptions options = {},
            int64_t block_size = 4) {
    blocks_.emplace(num_blocks, block_size);
    scheduler_.emplace(options, &*blocks_);
  }

  // Rows that each request has in the next step, by key.
  std::map<int64_t, int64_t> Step(int32_t token = 7) {
    const ScheduledStep step = scheduler_->NextBatch();
    last_ = step;
    EXPECT_EQ(step.logit_tasks.size(),
              step.plan.rank_batches[0].logit_rows.size());
    std::vector<absl::StatusOr<SampledToken>> results;
    for (size_t i = 0; i < step.logit_tasks.size(); ++i) {
      SampledToken sampled;
      sampled.token_id =
          step.logit_tasks[i].kind == LogitTask::Kind::kPromptLogprob
              ? step.logit_tasks[i].target
              : token;
      results.push_back(sampled);
    }
    events_ = scheduler_->Commit(std::move(results));
    std::map<int64_t, int64_t> rows;
    for (const SequenceSlice& slice : step.plan.rank_batches[0].sequences) {
      // The prompts' first tokens identify requests.
      if (slice.start_position == 0) {
        key_of_[slice.sequence_id] =
            step.plan.rank_batches[0].token_ids[slice.first_row] / 100;
      }
      rows[key_of_[slice.sequence_id]] += slice.num_tokens;
    }
    return rows;
  }

  // Keys of the requests that ended in the last step.
  std::vector<int64_t> Ended() {
    std::vector<int64_t> keys;
    for (const SchedulerEvent& event : events_) {
      if (std::holds_alternative<RequestEnd>(event.what)) {
        keys.push_back(event.request_key);
      }
    }
    return keys;
  }

  std::optional<BlockManager> blocks_;
  std::optional<Scheduler> scheduler_;
  ScheduledStep last_;
  std::vector<SchedulerEvent> events_;
  std::map<int64_t, int64_t> key_of_;
};

using Rows = std::map<int64_t, int64_t>;

TEST_F(SchedulerTest, DecodesRunningSequencesBesideNewPrompts) {
  Make(64);
  scheduler_->Add(MakeRequest(1, 5, 3));
  EXPECT_EQ(Step(), (Rows{{1, 5}}));
  scheduler_->Add(MakeRequest(2, 9, 3));
  EXPECT_EQ(Step(), (Rows{{1, 1}, {2, 9}}));
  // Decode rows come first.
  EXPECT_EQ(last_.plan.rank_batches[0].positions[0], 5);
  EXPECT_EQ(last_.plan.rank_batches[0].token_ids[0], 7);
  EXPECT_THAT(last_.plan.rank_batches[0].logit_rows, ElementsAre(0, 9));
  EXPECT_THAT(last_.started, ElementsAre(2));
  EXPECT_EQ(Step(), (Rows{{1, 1}, {2, 1}}));
  EXPECT_THAT(Ended(), ElementsAre(1));
  EXPECT_EQ(Step(), (Rows{{2, 1}}));
  EXPECT_THAT(Ended(), ElementsAre(2));
  EXPECT_FALSE(scheduler_->has_work());
  EXPECT_EQ(blocks_->num_free(), 64);
}

TEST_F(SchedulerTest, ChunksPromptsByStepAndByOption) {
  SchedulerOptions options;
  options.max_step_tokens = 10;
  options.max_running_sequences = 4;
  Make(64, options);
  scheduler_->Add(MakeRequest(1, 25, 1));
  EXPECT_EQ(Step(), (Rows{{1, 10}}));
  EXPECT_TRUE(events_.empty());
  EXPECT_EQ(Step(), (Rows{{1, 10}}));
  scheduler_->Add(MakeRequest(2, 8, 1));
  EXPECT_EQ(Step(), (Rows{{1, 5}, {2, 5}}));
  EXPECT_THAT(Ended(), ElementsAre(1));
  EXPECT_EQ(Step(), (Rows{{2, 3}}));

  options.prefill_chunk_tokens = 3;
  Make(64, options);
  scheduler_->Add(MakeRequest(1, 7, 1));
  scheduler_->Add(MakeRequest(2, 2, 1));
  EXPECT_EQ(Step(), (Rows{{1, 3}, {2, 2}}));
  EXPECT_EQ(Step(), (Rows{{1, 3}}));
  EXPECT_EQ(Step(), (Rows{{1, 1}}));
  EXPECT_THAT(Ended(), ElementsAre(1));
}

TEST_F(SchedulerTest, AdmitsByPriorityThenArrival) {
  SchedulerOptions options;
  options.max_running_sequences = 1;
  Make(64, options);
  scheduler_->Add(MakeRequest(1, 4, 1, 0));
  scheduler_->Add(MakeRequest(2, 4, 1, 5));
  scheduler_->Add(MakeRequest(3, 4, 1, 5));
  scheduler_->Add(MakeRequest(4, 4, 1, -1));
  std::vector<int64_t> order;
  while (scheduler_->has_work()) order.push_back(Step().begin()->first);
  EXPECT_THAT(order, ElementsAre(2, 3, 1, 4));
}

TEST_F(SchedulerTest, NothingOvertakesAHeadThatWaitsForBlocks) {
  Make(8);
  scheduler_->Add(MakeRequest(1, 16, 8));  // 4 of 8 blocks
  Step();
  scheduler_->Add(MakeRequest(2, 20, 1));  // 5 blocks: has to wait
  scheduler_->Add(MakeRequest(3, 1, 1));   // would fit
  for (int i = 0; i < 7; ++i) EXPECT_EQ(Step(), (Rows{{1, 1}}));
  EXPECT_THAT(Ended(), ElementsAre(1));
  EXPECT_EQ(Step(), (Rows{{2, 20}, {3, 1}}));
}

TEST_F(SchedulerTest, StreamOfShortUrgentRequestsCannotHoldBackALongOne) {
  SchedulerOptions options;
  options.max_running_sequences = 2;
  options.max_waiting_steps = 50;
  Make(16, options);
  scheduler_->Add(MakeRequest(1, 40, 20, /*priority=*/-1));
  int64_t key = 2;
  int steps = 0;
  for (bool ended = false; !ended; ++steps) {
    ASSERT_LT(steps, 200) << "starved";
    // Two new urgent requests in each step: more than can be served.
    scheduler_->Add(MakeRequest(key++, 8, 2, 100));
    scheduler_->Add(MakeRequest(key++, 8, 2, 100));
    Step();
    for (int64_t k : Ended()) ended |= k == 1;
  }
  EXPECT_GT(steps, 50);  // it had to wait
}

TEST_F(SchedulerTest, PreemptsTheLastInOrderAndRecomputesItFirst) {
  SchedulerOptions options;
  Make(6, options);
  scheduler_->Add(MakeRequest(1, 7, 9));
  scheduler_->Add(MakeRequest(2, 7, 9));
  EXPECT_EQ(Step(), (Rows{{1, 7}, {2, 7}}));
  // 4 of 6 blocks now; each needs a third at 9 tokens, and 1 a fourth at 13.
  scheduler_->Add(MakeRequest(3, 1, 1));
  int64_t preempted_at = 0;
  while (scheduler_->preemptions(2) == 0) {
    ASSERT_LT(++preempted_at, 20);
    Step();
  }
  EXPECT_EQ(scheduler_->preemptions(1), 0);
  EXPECT_EQ(scheduler_->load().preemptions, 1);
  // 1 runs to its end; then 2 is recomputed, prompt and answer, before 3.
  Rows rows;
  while (!rows.contains(2)) rows = Step();
  EXPECT_GT(rows[2], 7);
  EXPECT_EQ(last_.plan.rank_batches[0].token_ids[0], 200);
  EXPECT_EQ(last_.plan.rank_batches[0].token_ids[7], 7);
  int64_t tokens_of_2 = 0;
  while (scheduler_->has_work()) {
    for (const SchedulerEvent& event : events_) {
      tokens_of_2 += event.request_key == 2 &&
                     std::holds_alternative<TokenEvent>(event.what);
    }
    Step();
  }
  EXPECT_EQ(blocks_->num_free(), 6);
  EXPECT_GT(tokens_of_2, 0);
}

TEST_F(SchedulerTest, AnswersShareThePromptsFullBlocks) {
  Make(64);
  ScheduledRequest request = MakeRequest(1, 10, 3);
  request.num_answers = 3;
  scheduler_->Add(request);
  EXPECT_EQ(Step(), (Rows{{1, 10}}));
  EXPECT_EQ(blocks_->num_free(), 61);
  const ScheduledStep step = scheduler_->NextBatch();
  ASSERT_EQ(step.plan.rank_batches[0].sequences.size(), 3u);
  const auto& first = step.plan.rank_batches[0].sequences[0];
  for (int i = 1; i < 3; ++i) {
    const auto& other = step.plan.rank_batches[0].sequences[i];
    EXPECT_EQ(other.start_position, 8);
    EXPECT_EQ(other.num_tokens, 2);
    EXPECT_EQ(other.block_ids[0], first.block_ids[0]);
    EXPECT_EQ(other.block_ids[1], first.block_ids[1]);
    EXPECT_NE(other.block_ids[2], first.block_ids[2]);
  }
  EXPECT_EQ(blocks_->num_free(), 59);
  scheduler_->Cancel(1);
  EXPECT_EQ(blocks_->num_free(), 64);
}

TEST_F(SchedulerTest, PromptOfFullBlocksLeavesOneTokenToEachAnswer) {
  Make(64);
  ScheduledRequest request = MakeRequest(1, 8, 1);
  request.num_answers = 2;
  scheduler_->Add(request);
  Step();
  const ScheduledStep step = scheduler_->NextBatch();
  ASSERT_EQ(step.plan.rank_batches[0].sequences.size(),
            1u);  // the first has ended
  // No sequence has the prompt's blocks any more.
  EXPECT_EQ(step.plan.rank_batches[0].sequences[0].start_position, 0);
  EXPECT_EQ(step.plan.rank_batches[0].sequences[0].num_tokens, 8);
}

TEST_F(SchedulerTest, PromptLogprobsAreBoundedPerStepAndScoredOnce) {
  SchedulerOptions options;
  options.max_prompt_logprob_rows = 4;
  Make(64, options);
  ScheduledRequest request = MakeRequest(1, 11, 2);
  request.prompt_logprobs = true;
  scheduler_->Add(request);
  EXPECT_EQ(Step(), (Rows{{1, 4}}));
  EXPECT_EQ(last_.logit_tasks.size(), 4u);
  EXPECT_EQ(last_.logit_tasks[0].target, 101);
  EXPECT_EQ(Step(), (Rows{{1, 4}}));
  EXPECT_EQ(Step(), (Rows{{1, 3}}));
  ASSERT_EQ(last_.logit_tasks.size(), 3u);
  EXPECT_EQ(last_.logit_tasks[2].kind, LogitTask::Kind::kSample);
  ASSERT_FALSE(events_.empty());
  const auto& prompt = std::get<PromptEvent>(events_[0].what);
  ASSERT_EQ(prompt.logprobs.size(), 11u);
  for (int i = 0; i < 11; ++i) {
    EXPECT_EQ(prompt.logprobs[i].token_id, 100 + i);
  }
}

TEST_F(SchedulerTest, StopTokenAndMinimumLength) {
  Make(64);
  ScheduledRequest request = MakeRequest(1, 3, 9);
  request.stopping.stop_token_ids = {7};
  request.stopping.min_new_tokens = 1;
  scheduler_->Add(request);
  const ScheduledStep step = scheduler_->NextBatch();
  ASSERT_EQ(step.logit_tasks.size(), 1u);
  EXPECT_THAT(step.logit_tasks[0].masked_ids, ElementsAre(7));
  SampledToken token;
  token.token_id = 5;
  scheduler_->Commit({token});
  Step(7);
  EXPECT_TRUE(last_.logit_tasks[0].masked_ids.empty());
  ASSERT_EQ(events_.size(), 2u);
  const auto& event = std::get<TokenEvent>(events_[0].what);
  ASSERT_TRUE(event.finish.has_value());
  EXPECT_EQ(event.finish->reason, FinishReason::kStop);
  EXPECT_EQ(event.finish->stop_token_id, 7);
}

TEST_F(SchedulerTest, ErrorOfARowEndsItsRequestWithAllAnswers) {
  Make(64);
  ScheduledRequest request = MakeRequest(1, 6, 9);
  request.num_answers = 3;
  scheduler_->Add(request);
  scheduler_->Add(MakeRequest(2, 6, 9));
  Step();
  const ScheduledStep step = scheduler_->NextBatch();
  std::vector<absl::StatusOr<SampledToken>> results(step.logit_tasks.size(),
                                                    SampledToken());
  bool first = true;
  for (size_t i = 0; i < results.size(); ++i) {
    if (step.logit_tasks[i].request_key != 1 || !first) continue;
    results[i] = absl::InternalError("bad row");
    first = false;
  }
  int ends = 0;
  for (const SchedulerEvent& event : scheduler_->Commit(std::move(results))) {
    if (event.request_key == 2) continue;
    ASSERT_TRUE(std::holds_alternative<RequestEnd>(event.what));
    EXPECT_EQ(std::get<RequestEnd>(event.what).status,
              absl::InternalError("bad row"));
    ++ends;
  }
  EXPECT_EQ(ends, 1);
  EXPECT_EQ(Step(), (Rows{{2, 1}}));
}

TEST_F(SchedulerTest, CheckFitsCountsAllButTheLastToken) {
  Make(4);
  EXPECT_TRUE(scheduler_->CheckFits(16, 1).ok());
  const absl::Status status = scheduler_->CheckFits(16, 2);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("there are 4"));
}

TEST_F(SchedulerTest, ExpiredNamesRequestsPastTheirDeadline) {
  Make(64);
  ScheduledRequest request = MakeRequest(1, 4, 4);
  request.deadline = absl::FromUnixSeconds(10);
  scheduler_->Add(request);
  scheduler_->Add(MakeRequest(2, 4, 4));
  EXPECT_TRUE(scheduler_->Expired(absl::FromUnixSeconds(10)).empty());
  EXPECT_THAT(scheduler_->Expired(absl::FromUnixSeconds(11)), ElementsAre(1));
}

}  // namespace
}  // namespace moe
