#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/cache/block_manager.h"
#include "engine/runtime/engine.h"
#include "engine/runtime/engine_parts.h"
#include "engine/runtime/rate_meter.h"
#include "engine/runtime/step_clock.h"
#include "engine/runtime/step_sampler.h"
#include "engine/scheduler/scheduler.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// The state that an Engine shares with its thread: an inbox of requests, the
// scheduler and executor of the steps, and the observers of events. Thread-safe
// except Run.
class EngineCore {
 public:
  static absl::StatusOr<std::shared_ptr<EngineCore>> Create(
      EngineParts parts, const EngineOptions& options);

  const ModelConfig& model_config() const { return parts_.model->config(); }
  const EngineOptions& options() const { return options_; }

  absl::Status Submit(Request request,
                      std::shared_ptr<RequestObserver> observer);
  void Cancel(const std::string& request_id, std::optional<int32_t> answer);
  EngineLoad GetLoad() const;
  absl::Status CheckHealth();
  void SetDraining(bool draining);
  bool WaitIdle(absl::Duration timeout);

  // Makes Run return after all requests have ended with `status`. If a step
  // hangs for stall_timeout, ends the requests on the caller's thread and
  // abandons the step. True if Run has returned, false if the step is
  // abandoned.
  bool Stop(const absl::Status& status);

  // The engine thread: returns after Stop.
  void Run();

 private:
  struct LiveRequest {
    int64_t key = 0;
    Request request;
    std::shared_ptr<RequestObserver> observer;  // shared with the caller
    RequestTiming timing;
    RequestExpertLoad expert_load;  // with trace_experts
  };
  struct Cancellation {
    int64_t key = 0;
    std::optional<int32_t> answer;  // unset: the whole request
  };
  struct Inbox {
    std::vector<LiveRequest> requests;
    std::vector<Cancellation> cancels;
    bool empty() const { return requests.empty() && cancels.empty(); }
  };

  EngineCore(EngineParts parts, const EngineOptions& options);

  // Everything below runs on the engine thread.
  void Accept(Inbox inbox);
  void EndExpired();
  // Runs `body`, which may hang while it waits for other ranks, without the
  // lock. False if Stop has abandoned it: the thread must then return without
  // accessing any member.
  bool Compute(std::unique_lock<std::mutex>* lock,
               absl::FunctionRef<void()> body);
  // Waits for work or Stop, and sends keep-alives meanwhile. False as in
  // Compute.
  bool WaitForWork(std::unique_lock<std::mutex>* lock);
  // False as in Compute.
  bool Step();
  void MarkStarted(const std::vector<int64_t>& keys);
  void CountExperts(const ScheduledStep& step, const StepTrace& trace);
  void Deliver(SchedulerEvent event);
  void Finish(int64_t key, const absl::Status& status, int64_t preemptions);
  void EndRequest(int64_t key, const absl::Status& status);
  void EndAll(const absl::Status& status);
  void FailStep(const absl::Status& status, const StepPlan& plan);
  // Ends all requests; no step runs again. `what` is the start of the message.
  void Fail(const std::string& what, const absl::Status& status);
  void PublishLoad();
  // Any thread.
  absl::Status CheckRanks() const;

  EngineParts parts_;
  const EngineOptions options_;
  StepClock step_clock_;

  mutable std::mutex mutex_;
  std::condition_variable work_;  // the engine thread waits
  std::condition_variable done_;  // WaitIdle and Stop wait
  // Guarded by mutex_, up to token_rate_:
  Inbox inbox_;
  absl::flat_hash_map<std::string, int64_t> live_ids_;
  int64_t next_key_ = 0;
  int64_t num_live_ = 0;    // submitted, OnDone has not returned
  int64_t num_queued_ = 0;  // not yet in any step
  bool draining_ = false;
  absl::Status failure_;                     // after it no step runs
  std::optional<absl::Status> stop_status_;  // what Stop was called with
  bool stopped_ = false;                     // Run has returned
  bool computing_ = false;                   // a step is in the model
  bool abandoned_ = false;                   // Stop has abandoned that step
  EngineLoad load_;
  RateMeter token_rate_;

  // Used by the engine thread. Exceptions: Submit calls Scheduler::CheckFits,
  // and Stop reads them while a step is abandoned.
  std::vector<BlockManager> blocks_;  // [data_degree]
  Scheduler scheduler_;
  std::optional<StepSampler> sampler_;
  absl::flat_hash_map<int64_t, LiveRequest> requests_;
};

}  // namespace moe
