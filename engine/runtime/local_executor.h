#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "engine/cache/kv_cache.h"
#include "engine/models/model.h"
#include "engine/runtime/model_runner.h"
#include "engine/runtime/step_executor.h"

namespace moe {

// The executor of a single rank: runs steps on the whole model, and owns its KV
// cache.
class LocalExecutor : public StepExecutor {
 public:
  // `model` is borrowed. `on_step` is as in StepLink; may be empty.
  LocalExecutor(Model* model, KvCache cache,
                std::function<void(bool in_step, int64_t step_id)> on_step);

  // Creates the cache too. Borrows `model`. kResourceExhausted if there is no
  // memory for the cache.
  static absl::StatusOr<std::unique_ptr<LocalExecutor>> Create(
      Model* model, int64_t num_blocks, int64_t block_size);

  int data_degree() const override { return 1; }
  absl::Status Execute(const StepPlan& plan, const TensorView& logits,
                       StepTrace* trace) override;

 private:
  KvCache cache_;
  std::function<void(bool in_step, int64_t step_id)> on_step_;
  ModelRunner runner_;
};

}  // namespace moe
