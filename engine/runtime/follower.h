#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/batch/step_plan_codec.h"
#include "engine/runtime/share_runner.h"
#include "engine/runtime/step_link.h"
#include "kernels/core/tensor.h"

namespace moe {

// A rank that computes its share of the steps that rank 0 plans. It keeps
// nothing from step to step but the KV cache. Thread-compatible.
class Follower {
 public:
  // Called before (in_step) and after each step.
  using OnStep = std::function<void(bool in_step, int64_t step_id)>;

  // What `runner` and `link` borrow must outlive the follower. `max_logit_rows`
  // bounds those of a share. kResourceExhausted if memory is short.
  static absl::StatusOr<Follower> Create(const StepLink& link,
                                         const StepPlanLimits& limits,
                                         const ShareRunner& runner,
                                         int64_t max_logit_rows);

  // Follows until rank 0 says that it is over: OK. Any failure, here or of a
  // peer, ends it with a reason that names the rank, after all groups have been
  // given up, so that the peers end too. Every wait is bounded.
  absl::Status Run(const OnStep& on_step);

 private:
  Follower() = default;

  // The next plan, whenever it comes.
  absl::StatusOr<StepPlan> NextPlan();
  absl::Status Step(const StepPlan& plan);

  StepLink link_;
  StepPlanLimits limits_;
  ShareRunner runner_;
  int data_rank_ = 0;
  Tensor logits_;  // [max_logit_rows, vocab range] f32
  std::vector<uint8_t> plan_bytes_;
};

}  // namespace moe
