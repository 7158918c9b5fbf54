#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/cache/kv_cache.h"
#include "engine/config/index_range.h"
#include "engine/distributed/logit_gather.h"
#include "engine/distributed/plan_channel.h"
#include "engine/distributed/step_link.h"
#include "engine/models/model.h"
#include "engine/runtime/model_runner.h"
#include "engine/runtime/step_executor.h"

namespace moe {

// The executor of rank 0 in a job of several ranks: sends each plan to all
// ranks, computes rank 0's batch and gathers the logits. The other ranks run a
// Worker.
class DriverExecutor : public StepExecutor {
 public:
  // `model` and what `link` borrows must outlive it. `vocab`: the vocabulary
  // entries whose logits the model computes. `max_logit_rows` bounds the logit
  // rows of all rank batches together. kResourceExhausted if memory is short.
  static absl::StatusOr<std::unique_ptr<DriverExecutor>> Create(
      const StepLink& link, Model* model, KvCache cache, IndexRange vocab,
      int64_t max_logit_rows);

  int data_degree() const override;
  absl::Status Execute(const StepPlan& plan, const TensorView& logits,
                       StepTrace* trace) override;
  absl::Duration keep_alive_interval() const override {
    return link_.idle_timeout / 4;
  }
  absl::Status KeepAlive() override;
  void Shutdown() override;
  void Abort(const absl::Status& reason) override;
  absl::Status status() const override;

 private:
  DriverExecutor(const StepLink& link, Model* model, KvCache cache,
                 IndexRange vocab, LogitGather gather);

  absl::Status TryExecute(const StepPlan& plan, const TensorView& logits,
                          StepTrace* trace);
  // Aborts all groups, and keeps the first failure.
  absl::Status Fail(int64_t step_id, const absl::Status& error);

  const StepLink link_;
  KvCache cache_;
  ModelRunner runner_;
  PlanSender sender_;
  LogitGather gather_;

  mutable std::mutex mutex_;
  absl::Status failure_;  // guarded by mutex_; the first one
};

}  // namespace moe
