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

// Runs on every rank except 0: computes the rank's batch of each plan that rank
// 0 sends. Has no state between steps except the KV cache. Thread-compatible.
class Worker {
 public:
  // What `link` and `runner` borrow must outlive it. `max_logit_rows` bounds
  // the logit rows of a rank batch. kResourceExhausted if memory is short.
  static absl::StatusOr<Worker> Create(const StepLink& link,
                                       const StepPlanLimits& limits,
                                       const ModelRunner& runner,
                                       int64_t max_logit_rows);

  // Memory of the logits.
  static int64_t MaxBytes(int64_t vocab_size, int64_t max_logit_rows) {
    return max_logit_rows * vocab_size * static_cast<int64_t>(sizeof(float));
  }

  // Runs steps until rank 0 sends kShutdown: OK. On any failure, of this rank
  // or a peer, it aborts all groups, so that the peers end too, and returns an
  // error that names the rank that failed. Every wait is bounded.
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
