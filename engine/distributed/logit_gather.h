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

// Brings the results of a step to rank 0: from each rank its slice of the
// vocabulary of its share's logits, in one message; and, where it is asked for,
// from the first tensor rank of each data rank the routing, in another.
// Thread-compatible.
class LogitGather {
 public:
  // On rank 0, of which `max_logit_rows` bounds the rows of all shares. The
  // slices lie in pinned memory of `backend`, the model's. kResourceExhausted
  // if memory is short. What `link` borrows must outlive it.
  static absl::StatusOr<LogitGather> Create(const StepLink& link,
                                            DeviceBackend& backend,
                                            const ModelConfig& model,
                                            int64_t max_logit_rows);

  // Of the slices that are put side by side.
  static int64_t MaxBytes(const ModelConfig& model, int tensor_degree,
                          int64_t max_logit_rows) {
    return tensor_degree == 1 ? 0
                              : max_logit_rows * model.vocab_size *
                                    static_cast<int64_t>(sizeof(float));
  }

  // Posts the receives of all other ranks' results. Both plan and logits
  // [plan.num_logit_rows(), vocab] f32 must live until Finish.
  absl::Status Begin(const StepPlan& plan, const TensorView& logits);

  // Where this rank's own logits are to be computed. [rows of share 0, slice of
  // tensor rank 0]
  TensorView own_logits() const { return own_; }

  // Waits for the results and puts all in place. `trace` holds the routing of
  // share 0 already; may be null if no slice asks for it.
  absl::Status Finish(StepTrace* trace);
  // Lets go of what Begin has posted; give the groups up first.
  void Drop() { pending_.reset(); }

  // A worker's part: sends its logits [rows of its share, its slice] and the
  // routing (empty unless it is tensor rank 0 and the share asks for it).
  static absl::Status Send(const StepLink& link, const ModelConfig& model,
                           const TensorView& logits,
                           const std::vector<SequenceRouting>& routing);

 private:
  LogitGather() = default;
  void PlaceSlices();

  StepLink link_;
  ModelConfig model_;
  std::vector<int> moe_layers_;
  Tensor slices_;  // [max_logit_rows * vocab]; one slice after the other
  const StepPlan* plan_ = nullptr;
  TensorView logits_;
  TensorView own_;
  // Of the other data ranks that are asked for it, in their order.
  std::vector<std::vector<int32_t>> routing_;
  std::vector<char> done_;  // received from who has no logits
  std::unique_ptr<PendingOperation> pending_;
};

}  // namespace moe
