#include "engine/scheduler/scheduler.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace moe {
Scheduler::Scheduler(const SchedulerOptions& options,
                     absl::Span<BlockManager> blocks)
    : options_(options), ranks_(blocks.size()) {
  assert(!blocks.empty());
  assert(options.max_running_sequences >= 1);
  assert(options.max_step_tokens >= options.max_running_sequences);
  for (size_t d = 0; d < blocks.size(); ++d) ranks_[d].blocks = &blocks[d];
}

absl::Status Scheduler::CheckFits(int64_t prompt_tokens,
                                  int64_t max_new_tokens) const {
  // The last token of an answer is never an input.
  const int64_t tokens = prompt_tokens + max_new_tokens - 1;
  const BlockManager& blocks = *ranks_[0].blocks;
  const int64_t needed = blocks.BlocksFor(tokens);
  if (needed <= blocks.num_blocks()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "a prompt of ", prompt_tokens, " tokens and max_new_tokens ",
      max_new_tokens, " need ", needed, " KV cache blocks of ",
      blocks.block_size(), " tokens; there are ", blocks.num_blocks(),
      ": ask for less, or give the server more KV cache memory"));
}

void Scheduler::Add(ScheduledRequest request) {
  const int64_t key = request.key;
  auto state = std::make_unique<RequestState>();
  state->request = std::move(request);
  state->arrival_step = num_steps_;
  state->num_unfinished = state->request.num_answers;
  if (state->request.prompt_logprobs) {
    SampledToken first;
    first.token_id = state->request.prompt[0];
    first.logprob = {first.token_id, std::numeric_limits<float>::quiet_NaN(),
                     0};
    state->prompt_logprobs.push_back(std::move(first));
  }
  state->answers.resize(state->request.num_answers);
  for (int32_t i = 0; i < state->request.num_answers; ++i) {
    Sequence& sequence = state->answers[i];
    sequence.id = next_sequence_id_++;
    sequence.request = state.get();
    sequence.answer_index = i;
    Enqueue(&sequence);
  }
  requests_[key] = std::move(state);
}

void Scheduler::Cancel(int64_t request_key) {
  auto it = requests_.find(request_key);
  if (it != requests_.end()) Forget(it->second.get());
}

bool Scheduler::CancelAnswer(int64_t request_key, int32_t answer_index) {
  auto it = requests_.find(request_key);
  if (it == requests_.end()) return false;
  RequestState& request = *it->second;
  if (answer_index < 0 || answer_index >= request.request.num_answers) {
    return false;
  }
  Sequence& sequence = request.answers[answer_index];
  if (sequence.state == Sequence::State::kFinished) return false;
  FinishSequence(&sequence);
  return request.num_unfinished == 0;
}

std::vector<int64_t> Scheduler::Expired(absl::Time now) const {
  std::vector<int64_t> expired;
  for (const auto& [key, request] : requests_) {
    if (request->request.deadline < now) expired.push_back(key);
  }
  std::sort(expired.begin(), expired.end());
  return expired;
}

ScheduledStep Scheduler::NextBatch() {
  BeginStep();
  PromoteLongWaiting();
  for (DataRank& rank : ranks_) {
    std::sort(rank.running.begin(), rank.running.end(),
              [](const Sequence* a, const Sequence* b) {
                return ServedBefore(*a, *b);
              });
    ScheduleDecode(&rank);
    SchedulePrefill(&rank);
  }
  Admit();
  FinishStep();
  return std::move(step_);
}

void Scheduler::BeginStep() {
  step_ = ScheduledStep();
  slices_.clear();
  tasks_.clear();
  step_.plan.step_id = num_steps_++;
  for (DataRank& rank : ranks_) {
    rank.batch = Batch();
    rank.logit_tasks.clear();
    rank.tasks.clear();
    rank.traced_slices.clear();
    rank.rows_left = options_.max_step_tokens;
    rank.prompt_logprob_rows_left = options_.max_prompt_logprob_rows;
    rank.open = true;
  }
}

void Scheduler::PromoteLongWaiting() {
  std::vector<RequestState*> promoted;
  for (RequestState* request : waiting_) {
    if (!request->promoted &&
        num_steps_ - request->arrival_step > options_.max_waiting_steps) {
      promoted.push_back(request);
    }
  }
  // Remove it from the queue first: the change affects the queue's order.
  for (RequestState* request : promoted) waiting_.erase(request);
  for (RequestState* request : promoted) {
    request->promoted = true;
    waiting_.insert(request);
  }
}

void Scheduler::ScheduleDecode(DataRank* rank) {
  // The loop may remove sequences from the end of `running`.
  for (size_t i = 0; i < rank->running.size(); ++i) {
    Sequence* sequence = rank->running[i];
    if (sequence->num_pending() != 1) continue;
    if (!ReserveOrPreempt(rank, sequence)) break;
    AddSlice(rank, sequence, 1);
  }
}

bool Scheduler::ReserveOrPreempt(DataRank* rank, Sequence* sequence) {
  while (!rank->blocks->Reserve(sequence->id, sequence->num_known()).ok()) {
    const bool itself = rank->running.back() == sequence;
    Preempt(rank);
    if (itself) return false;
  }
  return true;
}

void Scheduler::Preempt(DataRank* rank) {
  Sequence* sequence = rank->running.back();
  rank->running.pop_back();
  rank->blocks->Release(sequence->id);
  --sequence->request->num_running;
  sequence->num_computed = 0;
  sequence->state = Sequence::State::kWaiting;
  Enqueue(sequence);
  ++sequence->request->preemptions;
  ++preemptions_;
  // Otherwise Admit could admit it again in this step.
  rank->open = false;
}

void Scheduler::SchedulePrefill(DataRank* rank) {
  for (Sequence* sequence : rank->running) {
    if (sequence->num_pending() <= 1) continue;
    AddSlice(rank, sequence, PrefillTokens(*rank, *sequence));
  }
}

int64_t Scheduler::PrefillTokens(const DataRank& rank,
                                 const Sequence& sequence) const {
  int64_t num_tokens = std::min(sequence.num_pending(), rank.rows_left);
  if (options_.prefill_chunk_tokens > 0) {
    num_tokens = std::min(num_tokens, options_.prefill_chunk_tokens);
  }
  const RequestState& request = *sequence.request;
  if (!request.scores_prompt()) return num_tokens;
  // Row p scores token p + 1. Rows before the first unscored token do not
  // count; each later one uses the allowance, except the prompt's last.
  const int64_t last_row = request.prompt_size() - 1;
  const int64_t first_scoring =
      std::max(sequence.num_computed, request.num_scored() - 1);
  const int64_t allowance = rank.prompt_logprob_rows_left;
  if (first_scoring + allowance >= last_row) return num_tokens;
  return std::min(num_tokens,
                  first_scoring + allowance - sequence.num_computed);
}

void Scheduler::AddSlice(DataRank* rank, Sequence* sequence,
                         int64_t num_tokens) {
  if (num_tokens == 0) return;
  RequestState& request = *sequence->request;
  const std::vector<int32_t>& prompt = request.request.prompt;
  Batch& batch = rank->batch;

  SequenceSlice slice;
  slice.sequence_id = sequence->id;
  slice.first_row = static_cast<int32_t>(batch.num_rows());
  slice.num_tokens = static_cast<int32_t>(num_tokens);
  slice.start_position = static_cast<int32_t>(sequence->num_computed);
  slice.trace_routing = request.request.trace_routing;
  slice.block_ids = rank->blocks->Table(sequence->id);
  batch.sequences.push_back(std::move(slice));
  if (request.request.trace_routing) {
    const int64_t prompt_tokens =
        std::max<int64_t>(request.prompt_size() - sequence->num_computed, 0);
    rank->traced_slices.push_back(
        {request.request.key, num_tokens,
         sequence->shares_prompt ? std::min(num_tokens, prompt_tokens) : 0});
  }

  LogitTask task;
  task.request_key = request.request.key;
  task.answer_index = sequence->answer_index;
  task.prompt = prompt;
  task.answer = sequence->answer;
  const int64_t end = sequence->num_computed + num_tokens;
  for (int64_t p = sequence->num_computed; p < end; ++p) {
    if (request.scores_prompt() && p + 1 >= request.num_scored() &&
        p + 1 < request.prompt_size()) {
      task.kind = LogitTask::Kind::kPromptLogprob;
      task.target = prompt[p + 1];
      AddTask(rank, sequence, task, batch.num_rows());
      --rank->prompt_logprob_rows_left;
    }
    batch.token_ids.push_back(sequence->token(p));
    batch.positions.push_back(static_cast<int32_t>(p));
  }
  if (end == sequence->num_known()) {
    task.kind = LogitTask::Kind::kSample;
    task.target = 0;
    const StoppingParams& stopping = request.request.stopping;
    if (static_cast<int64_t>(sequence->answer.size()) <
        stopping.min_new_tokens) {
      task.masked_ids = stopping.stop_token_ids;
    }
    AddTask(rank, sequence, task, batch.num_rows() - 1);
  }
  rank->rows_left -= num_tokens;
  if (!request.started) {
    request.started = true;
    step_.started.push_back(request.request.key);
  }
  slices_.push_back({sequence, num_tokens});
}

void Scheduler::AddTask(DataRank* rank, Sequence* sequence, LogitTask task,
                        int64_t row) {
  rank->batch.logit_rows.push_back(static_cast<int32_t>(row));
  rank->tasks.push_back({sequence, task.kind});
  rank->logit_tasks.push_back(task);
}

void Scheduler::FinishStep() {
  std::vector<int32_t> rows;
  for (const DataRank& rank : ranks_) {
    rows.push_back(static_cast<int32_t>(rank.batch.num_rows()));
  }
  for (DataRank& rank : ranks_) {
    rank.batch.step_id = step_.plan.step_id;
    rank.batch.rows_on_data_ranks = rows;
    step_.plan.rank_batches.push_back(std::move(rank.batch));
    step_.logit_tasks.insert(step_.logit_tasks.end(), rank.logit_tasks.begin(),
                             rank.logit_tasks.end());
    tasks_.insert(tasks_.end(), rank.tasks.begin(), rank.tasks.end());
    step_.traced_slices.insert(step_.traced_slices.end(),
                               rank.traced_slices.begin(),
                               rank.traced_slices.end());
  }
}

SchedulerLoad Scheduler::load() const {
  SchedulerLoad load;
  for (const DataRank& rank : ranks_) {
    load.running_sequences += static_cast<int64_t>(rank.running.size());
  }
  load.preemptions = preemptions_;
  for (const RequestState* request : waiting_) {
    if (request->num_running > 0) continue;
    ++load.waiting_requests;
    load.waiting_tokens += request->waiting_tokens;
  }
  return load;
}

int64_t Scheduler::preemptions(int64_t request_key) const {
  auto it = requests_.find(request_key);
  return it == requests_.end() ? 0 : it->second->preemptions;
}

}  // namespace moe
