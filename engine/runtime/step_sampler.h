#pragma once

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/runtime/step_executor.h"
#include "engine/sampling/sampler.h"
#include "engine/scheduler/scheduler.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/tensor.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// Runs a scheduled step: executes its plan on all ranks, then samples a token
// (or scores a prompt token) from each row of logits, rows in parallel. One
// thread at a time.
class StepSampler {
 public:
  using Results = std::vector<absl::StatusOr<SampledToken>>;
  // The sampling parameters of a request in the step.
  using ParamsOf =
      absl::FunctionRef<const SamplingParams&(int64_t request_key)>;

  // Borrows executor and threads. `max_logit_rows` bounds the logits of one
  // step, which are in pinned memory of `backend`, the model's.
  // kResourceExhausted if memory is short.
  static absl::StatusOr<StepSampler> Create(StepExecutor* executor,
                                            ThreadPool* threads,
                                            DeviceBackend& backend,
                                            int64_t vocab_size,
                                            int64_t max_logit_rows);

  // Memory of the logits.
  static int64_t MaxBytes(int64_t vocab_size, int64_t max_logit_rows) {
    return max_logit_rows * vocab_size * static_cast<int64_t>(sizeof(float));
  }

  // One result per logit task; the error of a row fails its request only.
  // Returns the executor's error of a step. Passes `trace` to Execute.
  absl::StatusOr<Results> Run(const ScheduledStep& step, ParamsOf params_of,
                              StepTrace* trace);

 private:
  StepSampler() = default;

  StepExecutor* executor_ = nullptr;
  ThreadPool* threads_ = nullptr;
  Tensor logits_;                  // [max_logit_rows, vocab] f32
  std::vector<Sampler> samplers_;  // one per worker
};

}  // namespace moe
