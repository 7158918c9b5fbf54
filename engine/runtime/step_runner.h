#pragma once

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/cache/kv_cache.h"
#include "engine/models/model.h"
#include "engine/sampling/sampler.h"
#include "engine/scheduler/scheduler.h"
#include "kernels/core/tensor.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// Computes a scheduled step: the model over its rows, then a token (or a prompt
// logprob) from each row of logits, rows in parallel. One thread at a time.
class StepRunner {
 public:
  using Results = std::vector<absl::StatusOr<SampledToken>>;
  // The sampling of a request that is in the step.
  using ParamsOf =
      absl::FunctionRef<const SamplingParams&(int64_t request_key)>;

  // All borrowed. `max_logit_rows` bounds the logits of one step.
  // kResourceExhausted if their memory is not there.
  static absl::StatusOr<StepRunner> Create(Model* model, KvCache* cache,
                                           ThreadPool* threads,
                                           int64_t max_logit_rows);

  // One result per logit task; a row's own error concerns its request alone.
  // An error of the whole step is the model's.
  absl::StatusOr<Results> Run(const ScheduledStep& step, ParamsOf params_of);

 private:
  StepRunner() = default;

  Model* model_ = nullptr;
  KvCache* cache_ = nullptr;
  ThreadPool* threads_ = nullptr;
  Tensor logits_;                  // [max_logit_rows, vocab] f32
  std::vector<Sampler> samplers_;  // one per worker
};

}  // namespace moe
