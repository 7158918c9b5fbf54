#include "engine/runtime/engine_core.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/runtime/engine_limits.h"
#include "engine/runtime/engine_log.h"
#include "engine/runtime/local_executor.h"
#include "engine/runtime/request_validation.h"
#include "engine/sampling/token_id_set.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// wait_for uses the steady clock, whose range is too small for
// absl::InfiniteDuration().
template <typename Condition>
bool WaitFor(std::condition_variable& variable,
             std::unique_lock<std::mutex>& lock, absl::Duration time,
             Condition condition) {
  if (time > absl::Hours(24 * 365)) {
    variable.wait(lock, condition);
    return true;
  }
  return variable.wait_for(lock, absl::ToChronoMicroseconds(time), condition);
}

}  // namespace

EngineCore::EngineCore(EngineParts parts, const EngineOptions& options)
    : parts_(std::move(parts)),
      options_(options),
      blocks_(parts_.executor->data_degree(),
              BlockManager(options.num_blocks, options.block_size)),
      scheduler_(ToSchedulerOptions(options), absl::MakeSpan(blocks_)) {}

absl::StatusOr<std::shared_ptr<EngineCore>> EngineCore::Create(
    EngineParts parts, const EngineOptions& options) {
  const ModelConfig& model = parts.model->config();
  RETURN_IF_ERROR(ValidateEngineOptions(options, model));
  if (parts.executor == nullptr) {
    ASSIGN_OR_RETURN(parts.executor, LocalExecutor::Create(parts.model.get(),
                                                           options.num_blocks,
                                                           options.block_size));
  }
  const int64_t vocab_size = model.vocab_size;
  // Not make_shared: the constructor is private.
  std::shared_ptr<EngineCore> core(new EngineCore(std::move(parts), options));
  ASSIGN_OR_RETURN(
      core->sampler_,
      StepSampler::Create(
          core->parts_.executor.get(), core->parts_.threads.get(),
          core->parts_.model->backend(), vocab_size,
          core->parts_.executor->data_degree() * MaxLogitRows(options)));
  core->PublishLoad();
  return core;
}

absl::Status EngineCore::Submit(Request request,
                                std::shared_ptr<RequestObserver> observer) {
  RETURN_IF_ERROR(
      ValidateRequest(request, model_config(), options_.eos_token_ids));
  MakeTokenIdSet(request.sampling.allowed_token_ids);
  MakeTokenIdSet(request.sampling.banned_token_ids);
  RETURN_IF_ERROR(
      scheduler_.CheckFits(static_cast<int64_t>(request.prompt.size()),
                           request.stopping.max_new_tokens));
  LiveRequest live;
  live.observer = std::move(observer);
  live.timing.submitted = parts_.clock();
  RETURN_IF_ERROR(CheckRanks());

  std::lock_guard<std::mutex> lock(mutex_);
  if (stop_status_.has_value()) {
    return absl::UnavailableError("the engine has been shut down");
  }
  if (!failure_.ok()) return failure_;
  if (draining_) {
    return absl::UnavailableError(
        "the engine is draining and takes no new requests");
  }
  if (num_queued_ >= options_.max_waiting_requests) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the queue is full: ", num_queued_,
                     " requests are waiting; max_waiting_requests is ",
                     options_.max_waiting_requests));
  }
  if (!live_ids_.emplace(request.id, next_key_).second) {
    return absl::AlreadyExistsError(
        absl::StrCat("a request with id '", request.id, "' has not ended yet"));
  }
  live.key = next_key_++;
  live.request = std::move(request);
  ++num_live_;
  ++num_queued_;
  inbox_.requests.push_back(std::move(live));
  work_.notify_one();
  return absl::OkStatus();
}

void EngineCore::Cancel(const std::string& request_id,
                        std::optional<int32_t> answer) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto it = live_ids_.find(request_id);
  if (it == live_ids_.end()) return;
  inbox_.cancels.push_back({it->second, answer});
  work_.notify_one();
}

EngineLoad EngineCore::GetLoad() const {
  const absl::Time now = parts_.clock();
  std::lock_guard<std::mutex> lock(mutex_);
  EngineLoad load = load_;
  load.waiting += static_cast<int64_t>(inbox_.requests.size());
  for (const LiveRequest& live : inbox_.requests) {
    load.waiting_tokens += static_cast<int64_t>(live.request.prompt.size()) *
                           live.request.num_answers;
  }
  load.tokens_per_second = token_rate_.PerSecond(now);
  return load;
}

absl::Status EngineCore::CheckRanks() const {
  const absl::Status status = parts_.executor->status();
  if (status.ok()) return status;
  return absl::UnavailableError(
      absl::StrCat("the engine's ranks failed: ", status.message()));
}

absl::Status EngineCore::CheckHealth() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stop_status_.has_value()) {
      return absl::UnavailableError("the engine has been shut down");
    }
    if (!failure_.ok()) return failure_;
  }
  RETURN_IF_ERROR(CheckRanks());
  absl::Status status =
      step_clock_.Check(options_.stall_timeout, parts_.clock());
  if (!status.ok() && step_clock_.ShouldReportStall()) {
    LogEngineEvent(EngineLogLevel::kError, "engine_stalled",
                   {{"error", std::string(status.message())}});
  }
  return status;
}

void EngineCore::SetDraining(bool draining) {
  std::lock_guard<std::mutex> lock(mutex_);
  draining_ = draining;
}

bool EngineCore::WaitIdle(absl::Duration timeout) {
  std::unique_lock<std::mutex> lock(mutex_);
  return WaitFor(done_, lock, timeout, [&] { return num_live_ == 0; });
}

bool EngineCore::Stop(const absl::Status& status) {
  std::vector<LiveRequest> left;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!stop_status_.has_value()) stop_status_ = status;
    work_.notify_one();
    const auto stopped = [&] { return stopped_ || abandoned_; };
    if (!WaitFor(done_, lock, options_.stall_timeout, stopped)) {
      // Outside of Compute the thread reaches a check soon.
      done_.wait(lock, [&] { return stopped() || computing_; });
    }
    if (stopped_) return true;
    if (abandoned_) return false;  // by another caller
    abandoned_ = true;
    done_.notify_all();
    left = std::move(inbox_.requests);
    // The step reads requests_, so they are copied, not moved.
    for (const auto& [key, live] : requests_) left.push_back(live);
    live_ids_.clear();
    num_queued_ = 0;
  }
  std::sort(
      left.begin(), left.end(),
      [](const LiveRequest& a, const LiveRequest& b) { return a.key < b.key; });
  LogEngineEvent(EngineLogLevel::kError, "engine_abandoned",
                 {{"requests", static_cast<int64_t>(left.size())},
                  {"error", "a step did not return within stall_timeout"}});
  for (LiveRequest& live : left) {
    live.timing.finished = parts_.clock();
    live.timing.preemptions = scheduler_.preemptions(live.key);
    live.observer->OnDone(status, live.timing);
  }
  // The step may hang while it waits for other ranks.
  parts_.executor->Abort(absl::UnavailableError(
      "the engine was shut down while a step did not return"));
  std::lock_guard<std::mutex> lock(mutex_);
  num_live_ = 0;
  done_.notify_all();
  return false;
}

bool EngineCore::Compute(std::unique_lock<std::mutex>* lock,
                         absl::FunctionRef<void()> body) {
  computing_ = true;
  // Stop may wait for computing_.
  if (stop_status_.has_value()) done_.notify_all();
  lock->unlock();
  body();
  lock->lock();
  computing_ = false;
  return !abandoned_;
}

bool EngineCore::WaitForWork(std::unique_lock<std::mutex>* lock) {
  const auto has_work = [&] {
    return stop_status_.has_value() || !inbox_.empty() || scheduler_.has_work();
  };
  StepExecutor& executor = *parts_.executor;
  while (!WaitFor(work_, *lock, executor.keep_alive_interval(), has_work)) {
    if (!failure_.ok()) continue;
    absl::Status alive;
    if (!Compute(lock, [&] { alive = executor.KeepAlive(); })) return false;
    if (alive.ok()) continue;
    lock->unlock();
    Fail("the engine failed between steps", alive);
    lock->lock();
  }
  return true;
}

void EngineCore::Run() {
  while (true) {
    Inbox inbox;
    absl::Status end;
    bool stopping = false;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      if (!WaitForWork(&lock)) return;
      inbox = std::exchange(inbox_, Inbox());
      stopping = stop_status_.has_value();
      end = stopping ? *stop_status_ : failure_;
    }
    Accept(std::move(inbox));
    if (stopping || !end.ok()) EndAll(end);
    if (stopping) break;
    EndExpired();
    if (scheduler_.has_work() && !Step()) return;
  }
  std::unique_lock<std::mutex> lock(mutex_);
  if (!Compute(&lock, [&] { parts_.executor->Shutdown(); })) return;
  stopped_ = true;
  done_.notify_all();
}

}  // namespace moe
