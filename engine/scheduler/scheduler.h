#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/batch/batch.h"
#include "engine/cache/block_manager.h"
#include "engine/sampling/sampling_params.h"
#include "engine/scheduler/sequence.h"
#include "engine/scheduler/token_event.h"

namespace moe {

struct SchedulerOptions {
  int64_t max_step_tokens = 512;
  // Longest piece of one prompt in a step; 0: all that fits.
  int64_t prefill_chunk_tokens = 0;
  int64_t max_running_sequences = 64;  // <= max_step_tokens
  // Rows of one step whose logits only serve prompt logprobs: bounds the memory
  // of the logits.
  int64_t max_prompt_logprob_rows = 64;
  // A request that has waited for so many steps goes ahead of all priorities.
  int64_t max_waiting_steps = 512;
};

// What to do with one row of logits of a step. Borrowed from the scheduler:
// valid until Commit.
struct LogitTask {
  enum class Kind { kSample, kPromptLogprob };
  Kind kind = Kind::kSample;
  int64_t request_key = 0;
  int32_t answer_index = 0;
  absl::Span<const int32_t> prompt;
  absl::Span<const int32_t> answer;      // chosen so far
  absl::Span<const int32_t> masked_ids;  // kSample: stop ids not yet allowed
  int32_t target = 0;                    // kPromptLogprob: the token to score
};

struct ScheduledStep {
  Batch batch;
  std::vector<LogitTask> logit_tasks;  // one per batch.logit_rows
  std::vector<int64_t> started;        // requests that run for the first time
};

// The last event of a request: OK after every answer has finished, or an error.
struct RequestEnd {
  absl::Status status;
  int64_t preemptions = 0;
};

// Something that became of a request.
struct SchedulerEvent {
  int64_t request_key = 0;
  std::variant<PromptEvent, TokenEvent, RequestEnd> what;
};

struct SchedulerLoad {
  int64_t running_sequences = 0;
  int64_t waiting_requests = 0;  // of which nothing runs
  int64_t waiting_tokens = 0;    // that those have to compute
  int64_t preemptions = 0;
};

// Continuous batching: decides step by step which tokens of which sequences are
// computed, and keeps the books of what they produce. It never sees a model.
//
//   Add(request)...; while (has_work()) { step = NextBatch(); <compute>;
//   events = Commit(results); }     Cancel, CancelAnswer: between
//   Commit and NextBatch.
//
// Order of service: requests that have waited max_waiting_steps first, then by
// priority, then by arrival, then by answer. A step takes one row of each
// sequence in decode, then (chunks of) prompts of running sequences, then
// admits waiting ones while blocks for all their known tokens are free; nothing
// overtakes the head of the queue. If decode runs out of blocks, the running
// sequence that is last in that order is preempted: it gives up its blocks,
// waits in its old place of the order and computes its tokens anew later, with
// the same bits. So the first in the order always advances and nothing starves.
//
// The answers of one request share the full blocks of the prompt: the first
// computes them, the others wait for that and compute only the prompt's tail
// again. Not thread-safe.
class Scheduler {
 public:
  // `blocks` is borrowed, and used by nobody else.
  Scheduler(const SchedulerOptions& options, BlockManager* blocks);

  // kFailedPrecondition if a sequence of that size can never fit the blocks.
  absl::Status CheckFits(int64_t prompt_tokens, int64_t max_new_tokens) const;

  // The request must fit; its key must be larger than all before.
  void Add(ScheduledRequest request);

  // Forgets the request and frees its blocks; unknown keys are ignored.
  void Cancel(int64_t request_key);
  // Ends one answer. True if the request has no unfinished answer left: the
  // caller then has to Cancel it.
  bool CancelAnswer(int64_t request_key, int32_t answer_index);

  // The requests whose deadline is before `now`, for the caller to Cancel.
  std::vector<int64_t> Expired(absl::Time now) const;

  bool has_work() const { return !requests_.empty(); }

  // A step with at least one row if has_work().
  ScheduledStep NextBatch();

  // Takes the results of the last NextBatch, one per logit task. An error ends
  // the request it belongs to, and no other.
  std::vector<SchedulerEvent> Commit(
      std::vector<absl::StatusOr<SampledToken>> results);

  SchedulerLoad load() const;
  // Of a request, so far; 0 for an unknown key.
  int64_t preemptions(int64_t request_key) const;

 private:
  struct Slice {
    Sequence* sequence;
    int64_t num_tokens;
  };
  struct Task {
    Sequence* sequence;
    LogitTask::Kind kind;
  };

  void SortByOrder();
  void ScheduleDecode();
  void SchedulePrefill();
  void Admit();
  // Reserves the blocks of the sequence's next token, preempting others; false
  // if it had to be preempted itself.
  bool ReserveOrPreempt(Sequence* sequence);
  void Preempt(Sequence* sequence);
  // `donor`: an answer to the same prompt to share blocks with, or null.
  bool TryAdmit(Sequence* sequence, const Sequence* donor);
  // How many of the sequence's pending tokens the step can still take.
  int64_t PrefillShare(const Sequence& sequence) const;
  void AddSlice(Sequence* sequence, int64_t num_tokens);

  void CommitSample(Sequence* sequence, SampledToken token,
                    std::vector<SchedulerEvent>* events);
  void FinishSequence(Sequence* sequence);
  void FinishAll(RequestState* request);
  void Forget(RequestState* request);

  SchedulerOptions options_;
  BlockManager& blocks_;
  absl::flat_hash_map<int64_t, std::unique_ptr<RequestState>> requests_;
  std::vector<Sequence*> running_;  // in order, as of the last NextBatch
  std::vector<Sequence*> waiting_;
  int64_t next_sequence_id_ = 0;
  int64_t num_steps_ = 0;
  int64_t preemptions_ = 0;

  // The step under construction or in flight.
  ScheduledStep step_;
  std::vector<Slice> slices_;
  std::vector<Task> tasks_;  // one per logit task
  int64_t rows_left_ = 0;
  int64_t prompt_logprob_rows_left_ = 0;
  bool preempted_ = false;
};

}  // namespace moe
