#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/batch/step_plan_codec.h"
#include "engine/distributed/plan_channel.h"
#include "engine/distributed/step_link.h"
#include "engine/runtime/model_runner.h"
#include "kernels/core/tensor.h"

namespace moe {

// A rank that computes its share of the steps that rank 0 plans. It keeps
// nothing from step to step but the KV cache. Thread-compatible.
class Worker {
 public:
  // What `link` and `runner` borrow must outlive it. `max_logit_rows` bounds
  // the rows of a share. kResourceExhausted if memory is short.
  static absl::StatusOr<Worker> Create(const StepLink& link,
                                       const StepPlanLimits& limits,
                                       const ModelRunner& runner,
                                       int64_t max_logit_rows);

  // Of the logits.
  static int64_t MaxBytes(int64_t vocab_size, int64_t max_logit_rows) {
    return max_logit_rows * vocab_size * static_cast<int64_t>(sizeof(float));
  }

  // Follows until rank 0 says that it is over: OK. Any failure, here or of a
  // peer, ends it, after all groups have been given up, so that the peers end
  // too; the error names the rank that failed. Every wait is bounded.
  absl::Status Run();

 private:
  Worker(const StepLink& link, const StepPlanLimits& limits,
         const ModelRunner& runner, Tensor logits);

  absl::Status Step(const StepPlan& plan);

  StepLink link_;
  ModelRunner runner_;
  PlanReceiver receiver_;
  Tensor logits_;  // [max_logit_rows, vocab range] f32
};

}  // namespace moe
