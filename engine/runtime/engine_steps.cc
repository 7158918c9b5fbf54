// The part of EngineCore that runs on the engine thread.
#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "engine/runtime/engine_core.h"
#include "engine/runtime/engine_log.h"
#include "engine/sampling/token_id_set.h"

namespace moe {
namespace {

ScheduledRequest ToScheduled(int64_t key, const Request& request,
                             const std::vector<int32_t>& eos_token_ids) {
  ScheduledRequest result;
  result.key = key;
  result.prompt = request.prompt;
  result.stopping = request.stopping;
  if (!request.stopping.ignore_eos) {
    result.stopping.stop_token_ids.insert(result.stopping.stop_token_ids.end(),
                                          eos_token_ids.begin(),
                                          eos_token_ids.end());
  }
  MakeTokenIdSet(result.stopping.stop_token_ids);
  result.num_answers = request.num_answers;
  result.priority = request.priority;
  result.deadline = request.deadline;
  result.prompt_logprobs = request.sampling.num_prompt_logprobs >= 0;
  result.trace_routing = request.trace_experts;
  return result;
}

}  // namespace

void EngineCore::Accept(Inbox inbox) {
  for (LiveRequest& live : inbox.requests) {
    scheduler_.Add(ToScheduled(live.key, live.request, options_.eos_token_ids));
    const int64_t key = live.key;
    requests_.emplace(key, std::move(live));
  }
  for (const Cancellation& cancellation : inbox.cancels) {
    if (!requests_.contains(cancellation.key))
      continue;  // it has ended already
    if (!cancellation.answer.has_value()) {
      EndRequest(cancellation.key,
                 absl::CancelledError("the request was cancelled"));
    } else if (scheduler_.CancelAnswer(cancellation.key,
                                       *cancellation.answer)) {
      EndRequest(cancellation.key, absl::OkStatus());
    }
  }
}

void EngineCore::EndExpired() {
  for (int64_t key : scheduler_.Expired(parts_.clock())) {
    EndRequest(key, absl::DeadlineExceededError(
                        "the request's deadline passed before it was done"));
  }
}

bool EngineCore::Step() {
  const ScheduledStep step = scheduler_.NextBatch();
  MarkStarted(step.started);
  PublishLoad();
  if (step.plan.num_rows() == 0) {
    FailStep(absl::InternalError("the scheduler found nothing to run"),
             step.plan);
    return true;
  }
  const auto params_of = [&](int64_t key) -> const SamplingParams& {
    return requests_.find(key)->second.request.sampling;
  };
  absl::StatusOr<StepSampler::Results> results = absl::UnknownError("not run");
  StepTrace trace;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    absl::Duration step_time;
    if (!Compute(&lock, [&] {
          step_clock_.Begin(step.plan.step_id, step.plan.num_rows(),
                            parts_.clock());
          results = sampler_->Run(step, params_of, &trace);
          step_time = step_clock_.End(parts_.clock());
        })) {
      return false;
    }
    ++load_.steps;
    load_.last_step_time = step_time;
  }
  if (results.ok() && trace.sequences.size() != step.traced_slices.size()) {
    results = absl::InternalError(
        absl::StrCat("the routing of ", step.traced_slices.size(),
                     " slices was asked for, that of ", trace.sequences.size(),
                     " has come"));
  }
  if (!results.ok()) {
    FailStep(results.status(), step.plan);
    return true;
  }
  CountExperts(step, trace);
  std::vector<SchedulerEvent> events = scheduler_.Commit(*std::move(results));
  // Before the events: an observer of the end of a request may read the load.
  PublishLoad();
  for (SchedulerEvent& event : events) Deliver(std::move(event));
  return true;
}

void EngineCore::CountExperts(const ScheduledStep& step,
                              const StepTrace& trace) {
  const ModelConfig& model = model_config();
  for (size_t i = 0; i < step.traced_slices.size(); ++i) {
    const TracedSlice& slice = step.traced_slices[i];
    auto& counts = requests_.at(slice.request_key).expert_load.rows_by_expert;
    counts.resize(model.layers.size());
    const auto& chosen = trace.sequences[i].expert_ids;
    for (size_t layer = 0; layer < chosen.size(); ++layer) {
      counts[layer].resize(model.num_experts(layer));
      // As many of each token.
      const size_t first = chosen[layer].size() *
                           static_cast<size_t>(slice.num_shared_tokens) /
                           static_cast<size_t>(slice.num_tokens);
      for (size_t c = first; c < chosen[layer].size(); ++c) {
        const int32_t expert = chosen[layer][c];
        if (expert >= 0 && expert < model.num_experts(layer))
          ++counts[layer][expert];
      }
    }
  }
}

void EngineCore::MarkStarted(const std::vector<int64_t>& keys) {
  if (keys.empty()) return;
  const absl::Time now = parts_.clock();
  for (int64_t key : keys) requests_.at(key).timing.scheduled = now;
  std::lock_guard<std::mutex> lock(mutex_);
  num_queued_ -= static_cast<int64_t>(keys.size());
}

void EngineCore::Deliver(SchedulerEvent event) {
  LiveRequest& live = requests_.at(event.request_key);
  if (const auto* prompt = std::get_if<PromptEvent>(&event.what)) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      load_.prompt_tokens += static_cast<int64_t>(live.request.prompt.size());
    }
    live.observer->OnPrompt(*prompt);
  } else if (const auto* token = std::get_if<TokenEvent>(&event.what)) {
    const absl::Time now = parts_.clock();
    if (live.timing.first_token == absl::Time()) live.timing.first_token = now;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      ++load_.generated_tokens;
      token_rate_.Add(1, now);
    }
    live.observer->OnToken(*token);
  } else {
    const auto& end = std::get<RequestEnd>(event.what);
    Finish(event.request_key, end.status, end.preemptions);
  }
}

void EngineCore::EndRequest(int64_t key, const absl::Status& status) {
  const int64_t preemptions = scheduler_.preemptions(key);
  scheduler_.Cancel(key);
  PublishLoad();
  Finish(key, status, preemptions);
}

void EngineCore::Finish(int64_t key, const absl::Status& status,
                        int64_t preemptions) {
  auto it = requests_.find(key);
  LiveRequest live = std::move(it->second);
  requests_.erase(it);
  live.timing.finished = parts_.clock();
  live.timing.preemptions = preemptions;
  {
    // The caller may reuse the id from here on.
    std::lock_guard<std::mutex> lock(mutex_);
    live_ids_.erase(live.request.id);
    if (live.timing.scheduled == absl::Time()) --num_queued_;
  }
  if (live.request.trace_experts) {
    live.observer->OnExpertLoad(live.expert_load);
  }
  live.observer->OnDone(status, live.timing);
  std::lock_guard<std::mutex> lock(mutex_);
  if (--num_live_ == 0) done_.notify_all();
}

void EngineCore::EndAll(const absl::Status& status) {
  std::vector<int64_t> keys;
  for (const auto& [key, live] : requests_) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  for (int64_t key : keys) EndRequest(key, status);
}

void EngineCore::FailStep(const absl::Status& status, const StepPlan& plan) {
  Fail(absl::StrCat("the engine failed in step ", plan.step_id, " with ",
                    plan.num_rows(), " rows"),
       status);
}

void EngineCore::Fail(const std::string& what, const absl::Status& status) {
  const absl::Status failure =
      absl::UnavailableError(absl::StrCat(what, ": ", status.ToString()));
  LogEngineEvent(EngineLogLevel::kError, "engine_failed",
                 {{"what", what}, {"error", status.ToString()}});
  {
    std::lock_guard<std::mutex> lock(mutex_);
    failure_ = failure;
  }
  EndAll(failure);
  // Other ranks may not have the failure yet.
  parts_.executor->Abort(failure);
}

void EngineCore::PublishLoad() {
  const SchedulerLoad scheduled = scheduler_.load();
  int64_t free_blocks = 0;
  for (const BlockManager& blocks : blocks_) free_blocks += blocks.num_free();
  std::lock_guard<std::mutex> lock(mutex_);
  load_.running = scheduled.running_sequences;
  load_.waiting = scheduled.waiting_requests;
  load_.waiting_tokens = scheduled.waiting_tokens;
  load_.preemptions = scheduled.preemptions;
  load_.free_blocks = free_blocks;
  load_.total_blocks =
      static_cast<int64_t>(blocks_.size()) * options_.num_blocks;
}

}  // namespace moe
