#include "engine/distributed/driver_executor.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {

DriverExecutor::DriverExecutor(const StepLink& link, Model* model,
                               KvCache cache, IndexRange vocab,
                               LogitGather gather)
    : link_(link),
      cache_(std::move(cache)),
      runner_(model, &cache_, vocab),
      sender_(link),
      gather_(std::move(gather)) {}

absl::StatusOr<std::unique_ptr<DriverExecutor>> DriverExecutor::Create(
    const StepLink& link, Model* model, KvCache cache, IndexRange vocab,
    int64_t max_logit_rows) {
  ASSIGN_OR_RETURN(LogitGather gather,
                   LogitGather::Create(link, model->backend(), model->config(),
                                       max_logit_rows));
  // Not make_unique: the constructor is private.
  return std::unique_ptr<DriverExecutor>(new DriverExecutor(
      link, model, std::move(cache), vocab, std::move(gather)));
}

int DriverExecutor::data_degree() const {
  return link_.plans->size() / link_.tensor_degree;
}

absl::Status DriverExecutor::Execute(const StepPlan& plan,
                                     const TensorView& logits,
                                     StepTrace* trace) {
  if (static_cast<int>(plan.rank_batches.size()) != data_degree()) {
    return absl::InternalError(
        absl::StrCat("a plan of ", plan.rank_batches.size(), " shares for ",
                     data_degree(), " data ranks"));
  }
  RETURN_IF_ERROR(status());
  if (link_.on_step) link_.on_step(true, plan.step_id);
  const absl::Status status = TryExecute(plan, logits, trace);
  if (status.ok()) {
    if (link_.on_step) link_.on_step(false, plan.step_id);
    return status;
  }
  const absl::Status failure = Fail(plan.step_id, status);
  // After the abort: destroying a pending exchange waits for it in a group that
  // has not failed.
  gather_.Drop();
  return failure;
}

absl::Status DriverExecutor::TryExecute(const StepPlan& plan,
                                        const TensorView& logits,
                                        StepTrace* trace) {
  link_.plans->set_step(plan.step_id);
  link_.groups->SetStep(plan.step_id);
  RETURN_IF_ERROR(sender_.Send(plan));
  RETURN_IF_ERROR(gather_.Begin(plan, logits));
  RETURN_IF_ERROR(runner_.Run(plan.rank_batches[0], gather_.own_logits(),
                              trace == nullptr ? nullptr : &trace->sequences));
  return gather_.Finish(trace);
}

absl::Status DriverExecutor::KeepAlive() {
  RETURN_IF_ERROR(status());
  StepPlan plan;
  plan.kind = StepPlan::Kind::kIdle;
  const absl::Status sent = sender_.Send(plan);
  return sent.ok() ? sent : Fail(-1, sent);
}

void DriverExecutor::Shutdown() {
  if (!status().ok()) return;  // the workers end with the failure
  StepPlan plan;
  plan.kind = StepPlan::Kind::kShutdown;
  const absl::Status sent = sender_.Send(plan);
  if (!sent.ok()) Fail(-1, sent).IgnoreError();
}

void DriverExecutor::Abort(const absl::Status& reason) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!failure_.ok()) return;  // the groups are aborted already
    failure_ = reason;
  }
  if (link_.fail_job) link_.fail_job(reason);
  link_.plans->Abort(reason);
  link_.groups->Abort(reason);
}

absl::Status DriverExecutor::Fail(int64_t step_id, const absl::Status& error) {
  const absl::Status reason = AbortStep(link_, step_id, error);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (failure_.ok()) failure_ = reason;
  return failure_;
}

absl::Status DriverExecutor::status() const {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!failure_.ok()) return failure_;
  }
  // The job's status names the rank that failed; the group may only have the
  // resulting abort.
  if (link_.job_status) RETURN_IF_ERROR(link_.job_status());
  return link_.plans->status();
}

}  // namespace moe
