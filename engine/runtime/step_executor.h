#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/batch/step_plan.h"
#include "kernels/core/tensor.h"

namespace moe {

// The experts that the rows of a sequence's slice chose.
struct SequenceRouting {
  int64_t sequence_id = 0;
  int32_t num_tokens = 0;
  // [layer][num_tokens * top_k]; empty for dense layers.
  std::vector<std::vector<int32_t>> expert_ids;
};

// The results of a step besides the logits.
struct StepTrace {
  // Of the slices with trace_routing, in the order of rank batches and slices.
  std::vector<SequenceRouting> sequences;
};

// Computes the steps that an engine schedules, on one or more ranks, and
// returns all logits on this one. An error of Execute or KeepAlive is final.
// One thread at a time, unless a method says otherwise.
class StepExecutor {
 public:
  virtual ~StepExecutor() = default;

  // The number of data ranks, each with its own KV cache: a plan has a rank
  // batch for each.
  virtual int data_degree() const = 0;

  // Writes the logits of all rank batches, in their order, to `logits`
  // [plan.num_logit_rows(), vocab] f32. `trace` may be null if no slice
  // requests it.
  virtual absl::Status Execute(const StepPlan& plan, const TensorView& logits,
                               StepTrace* trace) = 0;

  // While no steps run, KeepAlive must be called this often.
  virtual absl::Duration keep_alive_interval() const {
    return absl::InfiniteDuration();
  }
  virtual absl::Status KeepAlive() { return absl::OkStatus(); }

  // Ends the workers; Execute must not be called again.
  virtual void Shutdown() {}

  // Ends all steps and fails the job of the ranks: a running step that waits
  // for peers, on this or another rank, returns an error soon. Any thread.
  virtual void Abort(const absl::Status& /*reason*/) {}

  // OK, or the failure after which no step can run. Any thread.
  virtual absl::Status status() const { return absl::OkStatus(); }
};

}  // namespace moe
