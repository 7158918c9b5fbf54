#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "engine/batch/step_plan.h"
#include "engine/cache/block_manager.h"
#include "engine/sampling/sampling_params.h"
#include "engine/scheduler/sequence.h"
#include "engine/scheduler/token_event.h"

namespace moe {

// Numbers of sequences and rows are limits of each data rank.
struct SchedulerOptions {
  int64_t max_step_tokens = 512;
  // Longest chunk of a prompt in a step; 0: as much as fits.
  int64_t prefill_chunk_tokens = 0;
  int64_t max_running_sequences = 64;  // <= max_step_tokens
  // Rows of one step whose logits are needed only for prompt logprobs: bounds
  // the memory of the logits.
  int64_t max_prompt_logprob_rows = 64;
  // A request that has waited for this many steps goes before all priorities.
  int64_t max_waiting_steps = 512;
};

// How to process one row of logits of a step. Borrowed from the scheduler:
// valid until Commit.
struct LogitTask {
  enum class Kind { kSample, kPromptLogprob };
  Kind kind = Kind::kSample;
  int64_t request_key = 0;
  int32_t answer_index = 0;
  absl::Span<const int32_t> prompt;
  absl::Span<const int32_t> answer;      // tokens so far
  absl::Span<const int32_t> masked_ids;  // kSample: stop ids not yet allowed
  int32_t target = 0;                    // kPromptLogprob: the token to score
};

// A slice with trace_routing.
struct TracedSlice {
  int64_t request_key = 0;
  int64_t num_tokens = 0;
  // Of these, the first ones: tokens of a prompt that another answer of the
  // request has computed too. They do not count again.
  int64_t num_shared_tokens = 0;
};

struct ScheduledStep {
  StepPlan plan;
  // One for each logit row, in the order of the rank batches.
  std::vector<LogitTask> logit_tasks;
  std::vector<int64_t> started;  // requests that run for the first time
  // In the order of the rank batches.
  std::vector<TracedSlice> traced_slices;
};

// The last event of a request: OK after every answer has finished, or an error.
struct RequestEnd {
  absl::Status status;
  int64_t preemptions = 0;
};

// An event of a request.
struct SchedulerEvent {
  int64_t request_key = 0;
  std::variant<PromptEvent, TokenEvent, RequestEnd> what;
};

struct SchedulerLoad {
  int64_t running_sequences = 0;
  int64_t waiting_requests = 0;  // without a running answer
  int64_t waiting_tokens = 0;    // known tokens of these
  int64_t preemptions = 0;
};

// Continuous batching: selects the tokens of each step, and tracks the results
// of requests. Independent of the model.
//
//   Add(request)...; while (has_work()) { step = NextBatch(); <compute>;
//   events = Commit(results); }     Cancel, CancelAnswer: between
//   Commit and NextBatch.
//
// Order of service: requests that have waited max_waiting_steps first, then by
// priority, arrival and answer. A step has one row of each sequence in decode,
// then (chunks of) prompts of running sequences; then it admits waiting
// sequences while blocks for all their known tokens are free, in strict order
// of the queue. If decode runs out of blocks, the running sequence that is last
// in the order is preempted: its blocks are freed, it waits at its old position
// in the order, and its tokens are recomputed later with the same bits. So the
// first in the order always advances, and no request starves.
//
// The answers of one request share the full blocks of the prompt: the first
// answer computes them; the others wait, and recompute only the prompt's tail.
//
// Data ranks: each has its own blocks, and the rules above apply to each; all
// share one queue. Admission assigns a sequence to the data rank with the most
// free blocks, then the fewest rows in the step, then the lowest number; it
// stays there until it ends or is preempted. The answers of one request run on
// one data rank. If a sequence fits on no data rank, the one with the most free
// blocks is reserved for it: no later sequence of the queue is admitted there,
// while the other data ranks continue. Not thread-safe.
class Scheduler {
 public:
  // `blocks` [data_degree], with equal numbers of blocks; borrowed, for
  // exclusive use.
  Scheduler(const SchedulerOptions& options, absl::Span<BlockManager> blocks);
  // With one data rank.
  Scheduler(const SchedulerOptions& options, BlockManager* blocks)
      : Scheduler(options, absl::MakeSpan(blocks, 1)) {}

  // kFailedPrecondition if a sequence of this size can never fit the blocks of
  // a data rank. Any thread.
  absl::Status CheckFits(int64_t prompt_tokens, int64_t max_new_tokens) const;

  // The request must fit (CheckFits); keys must ascend.
  void Add(ScheduledRequest request);

  // Removes the request and frees its blocks; ignores unknown keys.
  void Cancel(int64_t request_key);
  // Ends one answer. True if the request has no unfinished answer left: the
  // caller must then Cancel it.
  bool CancelAnswer(int64_t request_key, int32_t answer_index);

  // The requests whose deadline is before `now`, for the caller to Cancel.
  std::vector<int64_t> Expired(absl::Time now) const;

  bool has_work() const { return !requests_.empty(); }

  // A step with at least one row if has_work().
  ScheduledStep NextBatch();

  // Processes the results of the last NextBatch, one per logit task. An error
  // ends only its own request.
  std::vector<SchedulerEvent> Commit(
      std::vector<absl::StatusOr<SampledToken>> results);

  SchedulerLoad load() const;
  // Preemptions of a request so far; 0 for an unknown key.
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
  struct DataRank {
    BlockManager* blocks;            // borrowed
    std::vector<Sequence*> running;  // in order, as of the last NextBatch

    // The step under construction.
    Batch batch;
    std::vector<LogitTask> logit_tasks;
    std::vector<Task> tasks;  // one per logit task
    std::vector<TracedSlice> traced_slices;
    int64_t rows_left;
    int64_t prompt_logprob_rows_left;
    bool open;  // admits new sequences
  };
  struct BeforeInQueue {
    bool operator()(const RequestState* a, const RequestState* b) const {
      return ServedBefore(*a, *b);
    }
  };

  void BeginStep();
  void PromoteLongWaiting();
  void ScheduleDecode(DataRank* rank);
  void SchedulePrefill(DataRank* rank);
  // Reserves the blocks of the sequence's next token, preempting others; false
  // if it had to be preempted itself.
  bool ReserveOrPreempt(DataRank* rank, Sequence* sequence);
  void Preempt(DataRank* rank);
  // How many of the sequence's pending tokens the step can still take.
  int64_t PrefillTokens(const DataRank& rank, const Sequence& sequence) const;
  void AddSlice(DataRank* rank, Sequence* sequence, int64_t num_tokens);
  void AddTask(DataRank* rank, Sequence* sequence, LogitTask task, int64_t row);
  void FinishStep();

  void Admit();
  void AdmitAnswers(RequestState* request);
  // The data rank for a waiting sequence without a donor, or null if it fits
  // nowhere now.
  DataRank* ChooseRank(const Sequence& sequence);
  void KeepRankFor(RequestState* request);
  bool IsOpen(const DataRank& rank) const;
  bool AnyOpen() const;
  int64_t SharedBlocks(const DataRank& rank, const Sequence& sequence) const;
  bool Fits(const DataRank& rank, const Sequence& sequence,
            int64_t shared) const;
  // `donor`: an answer to the same prompt to share blocks with, or null.
  bool TryAdmit(DataRank* rank, Sequence* sequence, const Sequence* donor);

  void Enqueue(Sequence* sequence);
  void Dequeue(Sequence* sequence);

  void CommitSample(Sequence* sequence, SampledToken token,
                    std::vector<SchedulerEvent>* events);
  void FinishSequence(Sequence* sequence);
  void FinishAll(RequestState* request);
  void Forget(RequestState* request);

  SchedulerOptions options_;
  std::vector<DataRank> ranks_;
  absl::flat_hash_map<int64_t, std::unique_ptr<RequestState>> requests_;
  // Requests with waiting answers, in order.
  std::set<RequestState*, BeforeInQueue> waiting_;
  int64_t next_sequence_id_ = 0;
  int64_t num_steps_ = 0;
  int64_t preemptions_ = 0;

  // The step under construction or in flight.
  ScheduledStep step_;
  std::vector<Slice> slices_;
  std::vector<Task> tasks_;  // one per logit task
};

}  // namespace moe
