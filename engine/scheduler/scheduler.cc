#include "engine/scheduler/scheduler.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace moe {
namespace {

// A running answer with the whole prompt in the KV cache, or null.
const Sequence* FindDonor(const RequestState& request) {
  for (const Sequence& answer : request.answers) {
    if (answer.state == Sequence::State::kRunning && !answer.in_prompt()) {
      return &answer;
    }
  }
  return nullptr;
}

bool RunsInPrompt(const RequestState& request) {
  return std::any_of(request.answers.begin(), request.answers.end(),
                     [](const Sequence& answer) {
                       return answer.state == Sequence::State::kRunning &&
                              answer.in_prompt();
                     });
}

}  // namespace

Scheduler::Scheduler(const SchedulerOptions& options, BlockManager* blocks)
    : options_(options), blocks_(*blocks) {
  assert(options.max_running_sequences >= 1);
  assert(options.max_step_tokens >= options.max_running_sequences);
}

absl::Status Scheduler::CheckFits(int64_t prompt_tokens,
                                  int64_t max_new_tokens) const {
  // The last token of an answer is never computed.
  const int64_t tokens = prompt_tokens + max_new_tokens - 1;
  const int64_t needed = blocks_.BlocksFor(tokens);
  if (needed <= blocks_.num_blocks()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "a prompt of ", prompt_tokens, " tokens and max_new_tokens ",
      max_new_tokens, " need ", needed, " KV cache blocks of ",
      blocks_.block_size(), " tokens; there are ", blocks_.num_blocks(),
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
    waiting_.push_back(&sequence);
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
  step_ = ScheduledStep();
  slices_.clear();
  tasks_.clear();
  step_.batch.step_id = num_steps_++;
  rows_left_ = options_.max_step_tokens;
  prompt_logprob_rows_left_ = options_.max_prompt_logprob_rows;
  preempted_ = false;

  SortByOrder();
  ScheduleDecode();
  SchedulePrefill();
  // Who was just preempted would take the blocks back at once.
  if (!preempted_) Admit();
  return std::move(step_);
}

void Scheduler::SortByOrder() {
  for (Sequence* sequence : waiting_) {
    RequestState& request = *sequence->request;
    if (num_steps_ - request.arrival_step > options_.max_waiting_steps) {
      request.promoted = true;
    }
  }
  const auto by_order = [](const Sequence* a, const Sequence* b) {
    return ServedBefore(*a, *b);
  };
  std::sort(running_.begin(), running_.end(), by_order);
  std::sort(waiting_.begin(), waiting_.end(), by_order);
}

void Scheduler::ScheduleDecode() {
  // running_ shrinks from its end while this goes on.
  for (size_t i = 0; i < running_.size(); ++i) {
    Sequence* sequence = running_[i];
    if (sequence->num_pending() != 1) continue;
    if (!ReserveOrPreempt(sequence)) break;
    AddSlice(sequence, 1);
  }
}

bool Scheduler::ReserveOrPreempt(Sequence* sequence) {
  while (!blocks_.Reserve(sequence->id, sequence->num_known()).ok()) {
    Sequence* last = running_.back();
    Preempt(last);
    if (last == sequence) return false;
  }
  return true;
}

void Scheduler::Preempt(Sequence* sequence) {
  assert(running_.back() == sequence);
  running_.pop_back();
  blocks_.Release(sequence->id);
  sequence->num_computed = 0;
  sequence->state = Sequence::State::kWaiting;
  waiting_.insert(std::lower_bound(waiting_.begin(), waiting_.end(), sequence,
                                   [](const Sequence* a, const Sequence* b) {
                                     return ServedBefore(*a, *b);
                                   }),
                  sequence);
  ++sequence->request->preemptions;
  ++preemptions_;
  preempted_ = true;
}

void Scheduler::SchedulePrefill() {
  for (Sequence* sequence : running_) {
    if (sequence->num_pending() <= 1) continue;
    AddSlice(sequence, PrefillShare(*sequence));
  }
}

void Scheduler::Admit() {
  std::vector<Sequence*> left;
  size_t i = 0;
  for (; i < waiting_.size(); ++i) {
    if (static_cast<int64_t>(running_.size()) >=
            options_.max_running_sequences ||
        rows_left_ == 0) {
      break;
    }
    Sequence* sequence = waiting_[i];
    const Sequence* donor = FindDonor(*sequence->request);
    // The answers of a request wait for the one that computes their prompt.
    if (donor == nullptr && RunsInPrompt(*sequence->request)) {
      left.push_back(sequence);
      continue;
    }
    if (!TryAdmit(sequence, donor)) break;
  }
  left.insert(left.end(), waiting_.begin() + i, waiting_.end());
  waiting_ = std::move(left);
}

bool Scheduler::TryAdmit(Sequence* sequence, const Sequence* donor) {
  // One token at least is left to compute: its logits choose the next.
  const int64_t shared = donor == nullptr
                             ? 0
                             : std::min(sequence->request->prompt_size(),
                                        sequence->num_known() - 1) /
                                   blocks_.block_size();
  // Running sequences are about to need a block each: leave them one, or they
  // would preempt the newcomer.
  const int64_t reserve = static_cast<int64_t>(running_.size());
  const int64_t needed = blocks_.BlocksFor(sequence->num_known()) - shared;
  if (!running_.empty() && needed + reserve > blocks_.num_free()) return false;

  if (donor != nullptr) blocks_.Share(donor->id, sequence->id, shared);
  if (!blocks_.Reserve(sequence->id, sequence->num_known()).ok()) {
    blocks_.Release(sequence->id);
    return false;
  }
  sequence->num_computed = shared * blocks_.block_size();
  sequence->state = Sequence::State::kRunning;
  running_.push_back(sequence);
  AddSlice(sequence, PrefillShare(*sequence));
  return true;
}

int64_t Scheduler::PrefillShare(const Sequence& sequence) const {
  int64_t share = std::min(sequence.num_pending(), rows_left_);
  if (options_.prefill_chunk_tokens > 0) {
    share = std::min(share, options_.prefill_chunk_tokens);
  }
  const RequestState& request = *sequence.request;
  if (!request.scores_prompt()) return share;
  // Row p scores token p + 1. Rows before the first unscored token are free;
  // then each row uses up the allowance, but the prompt's last.
  const int64_t last_row = request.prompt_size() - 1;
  const int64_t first_scoring =
      std::max(sequence.num_computed, request.num_scored() - 1);
  if (first_scoring + prompt_logprob_rows_left_ >= last_row) return share;
  return std::min(
      share, first_scoring + prompt_logprob_rows_left_ - sequence.num_computed);
}

void Scheduler::AddSlice(Sequence* sequence, int64_t num_tokens) {
  if (num_tokens == 0) return;
  RequestState& request = *sequence->request;
  const std::vector<int32_t>& prompt = request.request.prompt;
  Batch& batch = step_.batch;

  SequenceSlice slice;
  slice.sequence_id = sequence->id;
  slice.first_row = static_cast<int32_t>(batch.num_rows());
  slice.num_tokens = static_cast<int32_t>(num_tokens);
  slice.start_position = static_cast<int32_t>(sequence->num_computed);
  slice.block_ids = blocks_.Table(sequence->id);
  batch.sequences.push_back(std::move(slice));

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
      batch.logit_rows.push_back(static_cast<int32_t>(batch.num_rows()));
      step_.logit_tasks.push_back(task);
      tasks_.push_back({sequence, task.kind});
      --prompt_logprob_rows_left_;
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
    batch.logit_rows.push_back(static_cast<int32_t>(batch.num_rows() - 1));
    step_.logit_tasks.push_back(task);
    tasks_.push_back({sequence, task.kind});
  }
  rows_left_ -= num_tokens;
  if (!request.started) {
    request.started = true;
    step_.started.push_back(request.request.key);
  }
  slices_.push_back({sequence, num_tokens});
}

SchedulerLoad Scheduler::load() const {
  SchedulerLoad load;
  load.running_sequences = static_cast<int64_t>(running_.size());
  load.preemptions = preemptions_;
  for (const auto& [key, request] : requests_) {
    const bool runs =
        std::any_of(request->answers.begin(), request->answers.end(),
                    [](const Sequence& sequence) {
                      return sequence.state == Sequence::State::kRunning;
                    });
    if (runs) continue;
    ++load.waiting_requests;
    for (const Sequence& sequence : request->answers) {
      if (sequence.state == Sequence::State::kWaiting) {
        load.waiting_tokens += sequence.num_pending();
      }
    }
  }
  return load;
}

int64_t Scheduler::preemptions(int64_t request_key) const {
  auto it = requests_.find(request_key);
  return it == requests_.end() ? 0 : it->second->preemptions;
}

}  // namespace moe
