// Processes the results of a step, and ends sequences.
#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/scheduler/scheduler.h"

namespace moe {

std::vector<SchedulerEvent> Scheduler::Commit(
    std::vector<absl::StatusOr<SampledToken>> results) {
  assert(results.size() == tasks_.size());
  for (const Slice& slice : slices_) {
    slice.sequence->num_computed += slice.num_tokens;
  }
  std::vector<SchedulerEvent> events;
  std::vector<RequestState*> ended;
  for (size_t i = 0; i < results.size(); ++i) {
    Sequence* sequence = tasks_[i].sequence;
    RequestState& request = *sequence->request;
    // Its request ended in an earlier row of this step.
    if (sequence->state != Sequence::State::kRunning) continue;
    if (!results[i].ok()) {
      FinishAll(&request);
      events.push_back({request.request.key,
                        RequestEnd{results[i].status(), request.preemptions}});
      ended.push_back(&request);
      continue;
    }
    if (tasks_[i].kind == LogitTask::Kind::kPromptLogprob) {
      request.prompt_logprobs.push_back(*std::move(results[i]));
      continue;
    }
    CommitSample(sequence, *std::move(results[i]), &events);
    if (request.num_unfinished == 0) {
      events.push_back({request.request.key,
                        RequestEnd{absl::OkStatus(), request.preemptions}});
      ended.push_back(&request);
    }
  }
  for (RequestState* request : ended) Forget(request);
  slices_.clear();
  tasks_.clear();
  return events;
}

void Scheduler::CommitSample(Sequence* sequence, SampledToken token,
                             std::vector<SchedulerEvent>* events) {
  RequestState& request = *sequence->request;
  if (!request.prompt_reported) {
    request.prompt_reported = true;
    events->push_back(
        {request.request.key, PromptEvent{std::move(request.prompt_logprobs)}});
    request.prompt_logprobs.clear();
  }
  const StoppingParams& stopping = request.request.stopping;
  const int32_t id = token.token_id;
  sequence->answer.push_back(id);
  TokenEvent event;
  event.index = sequence->answer_index;
  event.token = std::move(token);
  if (std::binary_search(stopping.stop_token_ids.begin(),
                         stopping.stop_token_ids.end(), id)) {
    event.finish = SequenceFinish{FinishReason::kStop, id};
  } else if (static_cast<int64_t>(sequence->answer.size()) >=
             stopping.max_new_tokens) {
    event.finish = SequenceFinish{FinishReason::kLength, std::nullopt};
  }
  if (event.finish.has_value()) FinishSequence(sequence);
  events->push_back({request.request.key, std::move(event)});
}

void Scheduler::FinishSequence(Sequence* sequence) {
  if (sequence->state == Sequence::State::kRunning) {
    DataRank& rank = ranks_[sequence->data_rank];
    rank.running.erase(
        std::find(rank.running.begin(), rank.running.end(), sequence));
    rank.blocks->Release(sequence->id);
    --sequence->request->num_running;
  } else {
    Dequeue(sequence);
  }
  sequence->state = Sequence::State::kFinished;
  --sequence->request->num_unfinished;
}

void Scheduler::FinishAll(RequestState* request) {
  for (Sequence& sequence : request->answers) {
    if (sequence.state != Sequence::State::kFinished) FinishSequence(&sequence);
  }
}

void Scheduler::Forget(RequestState* request) {
  FinishAll(request);
  requests_.erase(request->request.key);
}

}  // namespace moe
