#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/config/model_config.h"
#include "engine/moe/token_dispatcher.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/weight_matrix.h"

namespace moe {

// Room for the gate of any layer of a model, sized once for the largest step.
class GateScratch {
 public:
  static absl::StatusOr<GateScratch> Create(DeviceBackend& backend,
                                            const ModelConfig& config,
                                            int64_t max_rows);
  // [rows, experts] f32.
  TensorView Logits(int64_t rows, int64_t experts) const;
  GatingResult Result(int64_t rows, int64_t experts, int64_t top_k) const;

 private:
  Tensor logits_;
  Tensor expert_ids_;
  Tensor weights_;
  Tensor expert_offsets_;
  Tensor row_of_slot_;
  Tensor slot_of_;
};

// Chooses each row's experts: softmax(x Wg^T), top-k, dropless; in float32
// whatever the type of the other weights. Immutable, so thread-safe.
class Gate {
 public:
  // weight [experts, hidden], packed as f32.
  Gate(const MoeConfig& config, WeightMatrix weight);

  int64_t num_experts() const { return weight_.out_features(); }

  // The product that computes the logits of x [rows, hidden]; the caller runs
  // it, together with others over the same rows, before Choose.
  LinearGroup LogitsGroup(const TensorView& x,
                          const GateScratch& scratch) const;

  // A row whose logits are not finite gets NaN for weights.
  absl::StatusOr<GatingResult> Choose(int64_t rows, const GateScratch& scratch,
                                      Stream& stream) const;

 private:
  int64_t top_k_;
  bool normalize_;
  WeightMatrix weight_;
};

}  // namespace moe
