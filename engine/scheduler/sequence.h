#pragma once

#include <cstdint>
#include <vector>

#include "absl/time/time.h"
#include "engine/sampling/sampling_params.h"

namespace moe {

// A request as the scheduler sees it.
struct ScheduledRequest {
  int64_t key = 0;  // ascending in order of arrival
  std::vector<int32_t> prompt;
  StoppingParams stopping;  // stop_token_ids: all that end it, ascending
  int32_t num_answers = 1;
  int32_t priority = 0;  // higher first
  absl::Time deadline = absl::InfiniteFuture();
  bool prompt_logprobs = false;
  bool trace_routing = false;  // SequenceSlice::trace_routing of its slices
};

struct RequestState;

// One answer of a request: the prompt and the tokens so far.
struct Sequence {
  enum class State { kWaiting, kRunning, kFinished };

  int64_t id = 0;  // unique for the life of the scheduler
  RequestState* request = nullptr;
  int32_t answer_index = 0;
  State state = State::kWaiting;
  int32_t data_rank = 0;  // while running
  std::vector<int32_t> answer;
  int64_t num_computed = 0;  // leading tokens in the KV cache
  // While running: another answer has computed the prompt, of which this one
  // repeats what does not fill a KV block.
  bool shares_prompt = false;

  int64_t num_known() const;
  int64_t num_pending() const { return num_known() - num_computed; }
  int32_t token(int64_t position) const;
  // True until the whole prompt is in the KV cache.
  bool in_prompt() const;
};

// A request and its answers. Not movable, since sequences point to it.
struct RequestState {
  ScheduledRequest request;
  std::vector<Sequence> answers;  // [num_answers]
  int64_t num_unfinished = 0;
  int64_t arrival_step = 0;
  bool promoted = false;         // has waited max_waiting_steps
  bool started = false;          // has been in a step
  bool prompt_reported = false;  // its PromptEvent is emitted
  int64_t preemptions = 0;
  int64_t num_running = 0;
  std::vector<Sequence*> waiting;  // by answer index
  int64_t waiting_tokens = 0;      // known tokens of these
  // The data rank that is reserved for it, since it fits nowhere; -1: none.
  int32_t kept_rank = -1;
  // The logprobs so far, including an entry for the first token (which has
  // none). A recomputed prompt is not scored again.
  std::vector<SampledToken> prompt_logprobs;

  int64_t prompt_size() const {
    return static_cast<int64_t>(request.prompt.size());
  }
  bool scores_prompt() const {
    return request.prompt_logprobs && !prompt_reported;
  }
  int64_t num_scored() const {
    return static_cast<int64_t>(prompt_logprobs.size());
  }
};

inline int64_t Sequence::num_known() const {
  return request->prompt_size() + static_cast<int64_t>(answer.size());
}

inline int32_t Sequence::token(int64_t position) const {
  const std::vector<int32_t>& prompt = request->request.prompt;
  const int64_t prompt_size = request->prompt_size();
  return position < prompt_size ? prompt[position]
                                : answer[position - prompt_size];
}

inline bool Sequence::in_prompt() const {
  return num_computed < request->prompt_size();
}

// The order of service: see Scheduler.
bool ServedBefore(const RequestState& a, const RequestState& b);
bool ServedBefore(const Sequence& a, const Sequence& b);

}  // namespace moe
