#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/batch/step_plan.h"
#include "kernels/core/tensor.h"

namespace moe {

// Which experts the rows of a sequence's slice chose.
struct SequenceRouting {
  int64_t sequence_id = 0;
  int32_t num_tokens = 0;
  // [layer][num_tokens * top_k]; empty for dense layers.
  std::vector<std::vector<int32_t>> expert_ids;
};

// What a step tells beside its logits.
struct StepTrace {
  // Of the slices with trace_routing, in the order of shares and slices.
  std::vector<SequenceRouting> sequences;
};

// Computes the steps that an engine schedules, on however many ranks, and
// brings all logits to this one. An error of Execute or KeepAlive is final.
// One thread at a time, except where it says otherwise.
class StepExecutor {
 public:
  virtual ~StepExecutor() = default;

  // How many shares a plan has: each has a KV cache of its own.
  virtual int data_degree() const = 0;

  // `logits` [plan.num_logit_rows(), vocab] f32 receives the logits of all
  // shares, in their order. `trace` may be null if no slice asks for it.
  virtual absl::Status Execute(const StepPlan& plan, const TensorView& logits,
                               StepTrace* trace) = 0;

  // With no step to compute, KeepAlive must be called this often.
  virtual absl::Duration keep_alive_interval() const {
    return absl::InfiniteDuration();
  }
  virtual absl::Status KeepAlive() { return absl::OkStatus(); }

  // Lets the other ranks go; Execute must not be called again.
  virtual void Shutdown() {}

  // No step will be computed any more: makes a running Execute, here and on
  // other ranks, return an error soon if it waits for peers, and has the ranks'
  // job fail. Any thread.
  virtual void Abort(const absl::Status& /*reason*/) {}

  // OK, or why no step can be computed any more. Any thread.
  virtual absl::Status status() const { return absl::OkStatus(); }
};

}  // namespace moe
