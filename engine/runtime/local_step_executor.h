#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "engine/cache/kv_cache.h"
#include "engine/models/model.h"
#include "engine/runtime/share_runner.h"
#include "engine/runtime/step_executor.h"

namespace moe {

// Steps on a model that this process has alone, and its KV cache, made here.
class LocalStepExecutor : public StepExecutor {
 public:
  // `model` is borrowed. kResourceExhausted if there is no memory for the
  // cache.
  static absl::StatusOr<std::unique_ptr<LocalStepExecutor>> Create(
      Model* model, int64_t num_blocks, int64_t block_size);

  int data_degree() const override { return 1; }
  absl::Status Execute(const StepPlan& plan, const TensorView& logits,
                       StepTrace* trace) override;

 private:
  LocalStepExecutor(Model* model, KvCache cache);

  KvCache cache_;
  ShareRunner runner_;
};

}  // namespace moe
