#include "engine/runtime/step_sampler.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<StepSampler> StepSampler::Create(StepExecutor* executor,
                                                ThreadPool* threads,
                                                DeviceBackend& backend,
                                                int64_t vocab_size,
                                                int64_t max_logit_rows) {
  StepSampler sampler;
  sampler.executor_ = executor;
  sampler.threads_ = threads;
  ASSIGN_OR_RETURN(sampler.logits_,
                   Tensor::AllocatePinned(backend, DType::kF32,
                                          {max_logit_rows, vocab_size}));
  for (int i = 0; i < threads->num_threads(); ++i) {
    sampler.samplers_.emplace_back(vocab_size);
  }
  return sampler;
}

absl::StatusOr<StepSampler::Results> StepSampler::Run(const ScheduledStep& step,
                                                      ParamsOf params_of,
                                                      StepTrace* trace) {
  const int64_t num_rows = static_cast<int64_t>(step.logit_tasks.size());
  if (num_rows > logits_.dim(0)) {
    return absl::InternalError(absl::StrCat("step ", step.plan.step_id,
                                            " wants ", num_rows,
                                            " rows of logits; there is room "
                                            "for ",
                                            logits_.dim(0)));
  }
  const int64_t vocab_size = logits_.dim(1);
  RETURN_IF_ERROR(
      executor_->Execute(step.plan, logits_.view().Rows(0, num_rows), trace));
  Results results(num_rows, absl::UnknownError("not computed"));
  threads_->ParallelFor(num_rows, [&](int64_t task, int worker) {
    const LogitTask& what = step.logit_tasks[task];
    const SamplingParams& params = params_of(what.request_key);
    const absl::Span<const float> logits(
        logits_.ptr<float>() + task * vocab_size, vocab_size);
    if (what.kind == LogitTask::Kind::kPromptLogprob) {
      results[task] = samplers_[worker].Score(logits, what.target,
                                              params.num_prompt_logprobs);
      return;
    }
    SampleRow row;
    row.logits = logits;
    row.prompt = what.prompt;
    row.answer = what.answer;
    row.masked_ids = what.masked_ids;
    row.answer_index = what.answer_index;
    results[task] = samplers_[worker].Sample(params, row);
  });
  return results;
}

}  // namespace moe
