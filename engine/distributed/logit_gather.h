#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "comm/pending_operation.h"
#include "engine/batch/step_plan.h"
#include "engine/config/model_config.h"
#include "engine/distributed/step_link.h"
#include "engine/runtime/step_executor.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/tensor.h"

namespace moe {

// Gathers the results of a step on rank 0. Each rank sends the logits of its
// batch for its slice of the vocabulary in one message. If the batch requests
// the routing, the first tensor rank of the data rank sends it in a second
// message. Thread-compatible.
class LogitGather {
 public:
  // On rank 0. `max_logit_rows` bounds the logit rows of all rank batches
  // together. The slices are in pinned memory of `backend`, the model's.
  // kResourceExhausted if memory is short. What `link` borrows must outlive it.
  static absl::StatusOr<LogitGather> Create(const StepLink& link,
                                            DeviceBackend& backend,
                                            const ModelConfig& model,
                                            int64_t max_logit_rows);

  // Memory of the received slices, which Finish interleaves.
  static int64_t MaxBytes(const ModelConfig& model, int tensor_degree,
                          int64_t max_logit_rows) {
    return tensor_degree == 1 ? 0
                              : max_logit_rows * model.vocab_size *
                                    static_cast<int64_t>(sizeof(float));
  }

  // Posts the receives of all other ranks' results. `plan` and `logits`
  // [plan.num_logit_rows(), vocab] f32 must live until Finish.
  absl::Status Begin(const StepPlan& plan, const TensorView& logits);

  // Where the model writes this rank's logits. [logit rows of rank batch 0,
  // slice of tensor rank 0]
  TensorView own_logits() const { return own_; }

  // Waits for the results and writes all logits. `trace` holds the routing of
  // rank batch 0 already; may be null if no slice requests it.
  absl::Status Finish(StepTrace* trace);
  // Drops the receives that Begin has posted; abort the groups before.
  void Drop() { pending_.reset(); }

  // Called by a worker: sends its logits [logit rows of its batch, its slice]
  // and the routing (empty unless it is tensor rank 0 and the batch requests
  // it).
  static absl::Status Send(const StepLink& link, const ModelConfig& model,
                           const TensorView& logits,
                           const std::vector<SequenceRouting>& routing);

 private:
  LogitGather() = default;
  void InterleaveSlices();

  StepLink link_;
  ModelConfig model_;
  std::vector<int> moe_layers_;
  Tensor slices_;  // [max_logit_rows * vocab]; one slice after the other
  const StepPlan* plan_ = nullptr;
  TensorView logits_;
  TensorView own_;
  // Of the other data ranks whose batch requests it, in their order.
  std::vector<std::vector<int32_t>> routing_;
  std::vector<char> done_;  // received from ranks without logits
  std::unique_ptr<PendingOperation> pending_;
};

}  // namespace moe
