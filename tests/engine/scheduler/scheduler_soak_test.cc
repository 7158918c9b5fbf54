#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "engine/scheduler/scheduler.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

// Random requests, cancels and row errors on random pools of one or more data
// ranks; checks all invariants after each step.
class Soak {
 public:
  Soak(uint32_t seed, int data_degree) : random_(seed) {
    num_blocks_ = 4 + Below(30);
    options_.max_running_sequences = 1 + Below(8);
    options_.max_step_tokens = options_.max_running_sequences + Below(40);
    options_.prefill_chunk_tokens = Below(3) == 0 ? 1 + Below(9) : 0;
    options_.max_prompt_logprob_rows = 1 + Below(6);
    options_.max_waiting_steps = 20 + Below(200);
    blocks_.assign(data_degree, BlockManager(num_blocks_, kBlockSize));
    scheduler_ = std::make_unique<Scheduler>(options_, absl::MakeSpan(blocks_));
  }

  void Run() {
    for (int step = 0; step < 400; ++step) {
      if (step < 250) AddSome();
      CancelSome();
      if (scheduler_->has_work()) Step();
      if (testing::Test::HasFatalFailure()) return;
    }
    int steps = 0;
    while (scheduler_->has_work()) {
      ASSERT_LT(++steps, 20000) << "no end";
      Step();
      if (testing::Test::HasFatalFailure()) return;
    }
    for (const BlockManager& blocks : blocks_) {
      EXPECT_EQ(blocks.num_free(), num_blocks_);
    }
    for (const auto& [key, request] : live_) {
      ADD_FAILURE() << "request " << key << " never ended";
    }
  }

 private:
  static constexpr int64_t kBlockSize = 4;
  struct Live {
    ScheduledRequest request;
    std::map<int32_t, int64_t> tokens;  // by answer
    std::set<int32_t> finished;
    std::set<int32_t> cancelled;
    bool prompt_seen = false;
  };

  int32_t Below(uint32_t bound) {
    return static_cast<int32_t>(random_() % bound);
  }

  void AddSome() {
    for (int i = Below(3); i > 0; --i) {
      ScheduledRequest request;
      request.key = next_key_++;
      const int32_t length = 1 + Below(30);
      for (int32_t t = 0; t < length; ++t) request.prompt.push_back(Below(50));
      request.stopping.max_new_tokens = 1 + Below(15);
      request.stopping.stop_token_ids = {3};
      request.num_answers = Below(4) == 0 ? 1 + Below(5) : 1;
      request.priority = Below(4);
      request.prompt_logprobs = Below(4) == 0;
      if (!scheduler_->CheckFits(length, request.stopping.max_new_tokens)
               .ok()) {
        continue;
      }
      live_[request.key].request = request;
      scheduler_->Add(std::move(request));
    }
  }

  void CancelSome() {
    if (live_.empty() || Below(6) != 0) return;
    auto it = live_.begin();
    std::advance(it, Below(static_cast<uint32_t>(live_.size())));
    Live& live = it->second;
    if (Below(2) == 0) {
      scheduler_->Cancel(it->first);
      live_.erase(it);
      return;
    }
    const int32_t answer = Below(live.request.num_answers);
    live.cancelled.insert(answer);
    if (scheduler_->CancelAnswer(it->first, answer)) {
      scheduler_->Cancel(it->first);
      live_.erase(it);
    }
  }

  void CheckStep(const ScheduledStep& step) {
    ASSERT_GE(step.plan.num_rows(), 1);
    ASSERT_EQ(step.plan.rank_batches.size(), blocks_.size());
    ASSERT_EQ(static_cast<int64_t>(step.logit_tasks.size()),
              step.plan.num_logit_rows());
    size_t next_task = 0;
    for (size_t d = 0; d < blocks_.size(); ++d) {
      CheckShare(step, d, &next_task);
      if (testing::Test::HasFatalFailure()) return;
    }
  }

  void CheckShare(const ScheduledStep& step, size_t data_rank,
                  size_t* next_task) {
    const Batch& rank_batch = step.plan.rank_batches[data_rank];
    ASSERT_EQ(rank_batch.step_id, step.plan.step_id);
    ASSERT_EQ(rank_batch.rows_on_data_ranks.size(), blocks_.size());
    ASSERT_EQ(rank_batch.rows_on_data_ranks[data_rank], rank_batch.num_rows());
    ASSERT_LE(rank_batch.num_rows(), options_.max_step_tokens);
    ASSERT_LE(static_cast<int64_t>(rank_batch.sequences.size()),
              options_.max_running_sequences);
    ASSERT_TRUE(std::is_sorted(rank_batch.logit_rows.begin(),
                               rank_batch.logit_rows.end()));
    int64_t prompt_rows = 0;
    for (size_t i = 0; i < rank_batch.logit_rows.size(); ++i) {
      const LogitTask& task = step.logit_tasks[(*next_task)++];
      prompt_rows += task.kind == LogitTask::Kind::kPromptLogprob;
      // Whose rows are on two data ranks at a time?
      const auto [it, first] = rank_of_.emplace(task.request_key, data_rank);
      if (!first && it->second != data_rank) {
        ASSERT_FALSE(rows_now_.contains(task.request_key));
        it->second = data_rank;
      }
      rows_now_.insert(task.request_key);
    }
    if (data_rank + 1 == blocks_.size()) rows_now_.clear();
    ASSERT_LE(prompt_rows, options_.max_prompt_logprob_rows);
    // No block is written by two sequences, or written by one and read by
    // another.
    std::map<int32_t, int> writers;
    for (const SequenceSlice& slice : rank_batch.sequences) {
      const int64_t end = slice.start_position + slice.num_tokens;
      ASSERT_LE(end, static_cast<int64_t>(slice.block_ids.size()) * kBlockSize);
      for (int64_t b = slice.start_position / kBlockSize;
           b <= (end - 1) / kBlockSize; ++b) {
        ++writers[slice.block_ids[b]];
      }
    }
    std::map<int32_t, int> holders;
    for (const SequenceSlice& slice : rank_batch.sequences) {
      for (int32_t block : slice.block_ids) ++holders[block];
    }
    for (const auto& [block, count] : writers) {
      ASSERT_EQ(holders[block], 1) << "block " << block;
      ASSERT_EQ(blocks_[data_rank].reference_count(block), 1)
          << "block " << block;
    }
  }

  void Step() {
    const ScheduledStep step = scheduler_->NextBatch();
    CheckStep(step);
    if (testing::Test::HasFatalFailure()) return;
    std::vector<absl::StatusOr<SampledToken>> results;
    for (const LogitTask& task : step.logit_tasks) {
      if (Below(300) == 0) {
        results.push_back(absl::InternalError("bad row"));
        continue;
      }
      SampledToken token;
      token.token_id = task.kind == LogitTask::Kind::kPromptLogprob
                           ? task.target
                           : Below(50);
      results.push_back(token);
    }
    for (const SchedulerEvent& event : scheduler_->Commit(std::move(results))) {
      CheckEvent(event);
    }
  }

  void CheckEvent(const SchedulerEvent& event) {
    auto it = live_.find(event.request_key);
    ASSERT_NE(it, live_.end()) << "event after the end";
    Live& live = it->second;
    if (const auto* prompt = std::get_if<PromptEvent>(&event.what)) {
      ASSERT_FALSE(live.prompt_seen);
      live.prompt_seen = true;
      if (!live.request.prompt_logprobs) {
        ASSERT_TRUE(prompt->logprobs.empty());
        return;
      }
      ASSERT_EQ(prompt->logprobs.size(), live.request.prompt.size());
      for (size_t i = 0; i < prompt->logprobs.size(); ++i) {
        ASSERT_EQ(prompt->logprobs[i].token_id, live.request.prompt[i]);
      }
    } else if (const auto* token = std::get_if<TokenEvent>(&event.what)) {
      ASSERT_TRUE(live.prompt_seen);
      ASSERT_FALSE(live.finished.contains(token->index));
      ASSERT_FALSE(live.cancelled.contains(token->index));
      const int64_t count = ++live.tokens[token->index];
      const bool must_end = token->token.token_id == 3 ||
                            count == live.request.stopping.max_new_tokens;
      ASSERT_EQ(token->finish.has_value(), must_end);
      if (must_end) live.finished.insert(token->index);
    } else {
      const auto& end = std::get<RequestEnd>(event.what);
      if (end.status.ok()) {
        for (int32_t i = 0; i < live.request.num_answers; ++i) {
          ASSERT_TRUE(live.finished.contains(i) || live.cancelled.contains(i));
        }
      }
      live_.erase(it);
    }
  }

  std::mt19937 random_;
  SchedulerOptions options_;
  int64_t num_blocks_ = 0;
  std::vector<BlockManager> blocks_;  // [data_degree]
  std::unique_ptr<Scheduler> scheduler_;
  std::map<int64_t, Live> live_;
  int64_t next_key_ = 0;
  std::map<int64_t, size_t> rank_of_;  // where a request had rows last
  std::set<int64_t> rows_now_;         // requests with rows in this step
};

TEST(SchedulerSoakTest, KeepsItsBooksUnderRandomLoad) {
  for (uint32_t seed = 0; seed < 24; ++seed) {
    SCOPED_TRACE(seed);
    Soak(seed, 1).Run();
    if (testing::Test::HasFailure()) return;
  }
}

TEST(SchedulerSoakTest, KeepsItsBooksOnManyDataRanks) {
  for (uint32_t seed = 100; seed < 124; ++seed) {
    SCOPED_TRACE(seed);
    Soak(seed, 2 + static_cast<int>(seed % 3)).Run();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace moe
