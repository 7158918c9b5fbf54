#include "engine/distributed/worker.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/distributed/logit_gather.h"
#include "kernels/core/status_macros.h"

namespace moe {

Worker::Worker(const StepLink& link, const StepPlanLimits& limits,
               const ModelRunner& runner, Tensor logits)
    : link_(link),
      runner_(runner),
      receiver_(link, limits),
      logits_(std::move(logits)) {}

absl::StatusOr<Worker> Worker::Create(const StepLink& link,
                                      const StepPlanLimits& limits,
                                      const ModelRunner& runner,
                                      int64_t max_logit_rows) {
  ASSIGN_OR_RETURN(Tensor logits, Tensor::AllocatePinned(
                                      runner.model().backend(), DType::kF32,
                                      {max_logit_rows, runner.vocab().size()}));
  return Worker(link, limits, runner, std::move(logits));
}

absl::Status Worker::Run() {
  while (true) {
    ASSIGN_OR_RETURN(const StepPlan plan, receiver_.Receive());
    if (plan.kind == StepPlan::Kind::kShutdown) return absl::OkStatus();
    if (plan.kind == StepPlan::Kind::kIdle) continue;
    if (link_.on_step) link_.on_step(true, plan.step_id);
    const absl::Status status = Step(plan);
    if (!status.ok()) return AbortStep(link_, plan.step_id, status);
    if (link_.on_step) link_.on_step(false, plan.step_id);
  }
}

absl::Status Worker::Step(const StepPlan& plan) {
  link_.plans->set_step(plan.step_id);
  link_.groups->SetStep(plan.step_id);
  const int rank = link_.plans->rank();
  const Batch& rank_batch = plan.rank_batches[rank / link_.tensor_degree];
  const int64_t rows = static_cast<int64_t>(rank_batch.logit_rows.size());
  if (rows > logits_.dim(0)) {
    return absl::InternalError(absl::StrCat("its share wants ", rows,
                                            " rows of logits; there is room "
                                            "for ",
                                            logits_.dim(0)));
  }
  const TensorView logits = logits_.view().Rows(0, rows);
  std::vector<SequenceRouting> routing;
  const bool routes = rank % link_.tensor_degree == 0;
  RETURN_IF_ERROR(runner_.Run(rank_batch, logits, routes ? &routing : nullptr));
  return LogitGather::Send(link_, runner_.model().config(), logits, routing);
}

}  // namespace moe
