#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/config/model_config.h"
#include "engine/sampling/sampling_params.h"
#include "engine/scheduler/token_event.h"

namespace moe {

// Per request, measured by the engine.
struct RequestTiming {
  absl::Time submitted;
  absl::Time scheduled;  // first step with tokens of it
  absl::Time first_token;
  absl::Time finished;
  int64_t preemptions = 0;
};

// Which experts a request's tokens chose. Tokens that are recomputed after a
// preemption count again; tokens that answers share count once.
struct RequestExpertLoad {
  // [layer][experts]; empty for dense layers.
  std::vector<std::vector<int64_t>> rows_by_expert;
};

// Receives the events of a request. Called on the engine thread, one call at a
// time; must return at once and must not call the engine.
class RequestObserver {
 public:
  virtual ~RequestObserver() = default;
  // Once, before the first token, when the whole prompt has been computed.
  virtual void OnPrompt(const PromptEvent& event) = 0;
  virtual void OnToken(const TokenEvent& event) = 0;
  // Once, before OnDone, of requests with trace_experts.
  virtual void OnExpertLoad(const RequestExpertLoad& /*load*/) {}
  // Exactly once, last. OK after every answer has had its finish; otherwise
  // kCancelled, kDeadlineExceeded, kUnavailable (engine failed), ...
  virtual void OnDone(const absl::Status& status,
                      const RequestTiming& timing) = 0;
};

struct Request {
  std::string id;               // for logs; unique among the live ones
  std::vector<int32_t> prompt;  // [1, max_positions)
  SamplingParams sampling;
  StoppingParams stopping;
  int32_t num_answers = 1;                       // n: they share the prompt
  int32_t priority = 0;                          // higher first
  absl::Time deadline = absl::InfiniteFuture();  // by SteadyNow
  bool trace_experts = false;                    // ask for OnExpertLoad
};

struct EngineLoad {
  int64_t running = 0;  // sequences in the batch
  int64_t waiting = 0;  // requests in the queue
  int64_t waiting_tokens = 0;
  int64_t free_blocks = 0;  // of all data ranks
  int64_t total_blocks = 0;
  int64_t steps = 0;
  int64_t generated_tokens = 0;
  int64_t prompt_tokens = 0;
  int64_t preemptions = 0;
  absl::Duration last_step_time;
  double tokens_per_second = 0;  // generated, over the last seconds
};

// Blocks, rows and running sequences are those of each data rank.
struct EngineOptions {
  int64_t num_blocks = 0;
  int64_t block_size = 16;
  int64_t max_step_tokens = 512;  // rows of one step
  int64_t prefill_chunk_tokens =
      0;  // longest chunk of a prompt; 0: as much as fits
  int64_t max_running_sequences = 64;
  int64_t max_waiting_requests = 256;
  // A step that takes longer makes the engine count as stalled.
  absl::Duration stall_timeout = absl::Seconds(30);
  // They end an answer like its stop_token_ids, unless the request ignores
  // them.
  std::vector<int32_t> eos_token_ids;
};

// Runs requests in continuous batches on its own thread. Thread-safe.
class Engine {
 public:
  virtual ~Engine() = default;

  virtual const ModelConfig& model_config() const = 0;
  virtual const EngineOptions& options() const = 0;

  // Checks the request and queues it. kInvalidArgument (bad field; prompt and
  // max_new_tokens above max_positions), kFailedPrecondition (can never fit the
  // KV cache), kAlreadyExists (id is live), kResourceExhausted (queue full),
  // kUnavailable (draining or failed); then the observer is not called.
  // The observer is shared by the engine until OnDone, and by the caller.
  virtual absl::Status Submit(Request request,
                              std::shared_ptr<RequestObserver> observer) = 0;

  // Ends a request (OnDone gets kCancelled) or one of its answers within one
  // step, and frees its blocks. Ignores unknown ids. A cancelled answer gets no
  // finish event; when all answers have finished or been cancelled, OnDone gets
  // OK (the caller may cancel an answer at a stop string).
  virtual void Cancel(const std::string& request_id) = 0;
  virtual void CancelAnswer(const std::string& request_id, int32_t index) = 0;

  virtual EngineLoad GetLoad() const = 0;

  // OK while steps complete. kUnavailable if a step has run longer than
  // stall_timeout, a step has failed, or the engine has stopped.
  virtual absl::Status CheckHealth() const = 0;

  // Refuses new requests until Resume.
  virtual void StartDrain() = 0;
  virtual void Resume() = 0;
  // Waits until nothing runs or waits; false if `timeout` passes first.
  virtual bool WaitIdle(absl::Duration timeout) = 0;
  // Ends all requests with `status`, and the thread. Idempotent. Returns within
  // stall_timeout even if a step hangs; the memory of that step is freed when
  // it returns.
  virtual void Shutdown(const absl::Status& status) = 0;
};

// The longest sequence (prompt and answer together) that `engine` accepts.
int64_t MaxSequenceTokens(const Engine& engine);

}  // namespace moe
