#include "engine/runtime/local_executor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {

LocalExecutor::LocalExecutor(
    Model* model, KvCache cache,
    std::function<void(bool in_step, int64_t step_id)> on_step)
    : cache_(std::move(cache)),
      on_step_(std::move(on_step)),
      runner_(model, &cache_, {0, model->config().vocab_size}) {}

absl::StatusOr<std::unique_ptr<LocalExecutor>> LocalExecutor::Create(
    Model* model, int64_t num_blocks, int64_t block_size) {
  ASSIGN_OR_RETURN(KvCache cache,
                   KvCache::Create(model->backend(), model->config(),
                                   num_blocks, block_size));
  return std::make_unique<LocalExecutor>(model, std::move(cache), nullptr);
}

absl::Status LocalExecutor::Execute(const StepPlan& plan,
                                    const TensorView& logits,
                                    StepTrace* trace) {
  if (plan.rank_batches.size() != 1) {
    return absl::InternalError(absl::StrCat(
        "a plan of ", plan.rank_batches.size(), " shares for one data rank"));
  }
  if (on_step_) on_step_(true, plan.step_id);
  RETURN_IF_ERROR(runner_.Run(plan.rank_batches[0], logits,
                              trace == nullptr ? nullptr : &trace->sequences));
  if (on_step_) on_step_(false, plan.step_id);
  return absl::OkStatus();
}

}  // namespace moe
