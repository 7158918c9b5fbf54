#include "engine/runtime/local_step_executor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {

LocalStepExecutor::LocalStepExecutor(Model* model, KvCache cache)
    : cache_(std::move(cache)),
      runner_(model, &cache_, {0, model->config().vocab_size}) {}

absl::StatusOr<std::unique_ptr<LocalStepExecutor>> LocalStepExecutor::Create(
    Model* model, int64_t num_blocks, int64_t block_size) {
  ASSIGN_OR_RETURN(KvCache cache,
                   KvCache::Create(model->config(), num_blocks, block_size));
  // Not make_unique: the constructor is private.
  return std::unique_ptr<LocalStepExecutor>(
      new LocalStepExecutor(model, std::move(cache)));
}

absl::Status LocalStepExecutor::Execute(const StepPlan& plan,
                                        const TensorView& logits,
                                        StepTrace* trace) {
  if (plan.shares.size() != 1) {
    return absl::InternalError(absl::StrCat("a plan of ", plan.shares.size(),
                                            " shares for one data rank"));
  }
  return runner_.Run(plan.shares[0], logits,
                     trace == nullptr ? nullptr : &trace->sequences);
}

}  // namespace moe
