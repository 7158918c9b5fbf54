#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/config/model_config.h"
#include "engine/layers/grouped_mlp.h"
#include "engine/moe/experts.h"
#include "engine/moe/gate.h"
#include "engine/moe/token_dispatcher.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Buffers of a MoE layer, shared by all layers of a model, as they run one
// after the other.
struct MoeScratch {
  // For steps of up to max_rows rows; empty for a model without MoE layers.
  static absl::StatusOr<MoeScratch> Create(const ModelConfig& config,
                                           int64_t max_rows);
  GateScratch gate;
  MlpScratch expert_mlp;    // rows are slots
  MlpScratch residual_mlp;  // if the model is a residual MoE
  Tensor expert_out;        // [max_rows * top_k, hidden]
  Tensor mlp_out;           // [max_rows, hidden]
  Tensor coefficients;      // [max_rows, 2]
  std::vector<MlpJob> jobs;
};

// The dense branch of a residual MoE layer (see ResidualMoeKind).
struct ResidualMlp {
  ResidualMoeKind kind = ResidualMoeKind::kNone;
  MlpWeights mlp;
  LinearWeights coefficient;  // [2, hidden], packed as f32; unused by kB1
};

// gate -> dispatch -> experts and residual MLP, one grouped job -> combine.
// Not thread-safe, as its dispatcher isn't.
class MoeLayer {
 public:
  // The dispatcher is borrowed.
  MoeLayer(const ModelConfig& config, Gate gate, Experts experts,
           std::optional<ResidualMlp> residual_mlp,
           TokenDispatcher* dispatcher);

  // y[r, :] = residual[r, :] + moe(x[r, :]), rows of [rows, hidden] f32; y may
  // alias residual, not x. The gating is valid until the scratch's next use.
  // A row whose gate logits are not finite becomes NaN; no other does.
  absl::StatusOr<GatingResult> Forward(const TensorView& x,
                                       const TensorView& residual,
                                       const TensorView& y, MoeScratch& scratch,
                                       Stream& stream) const;

  // Packed bytes of the experts that `num_rows` rows can't all reach, each row
  // choosing experts of its own.
  int64_t untouched_bytes(int64_t num_rows) const;

 private:
  bool has_coefficients() const {
    return residual_mlp_.has_value() &&
           residual_mlp_->kind != ResidualMoeKind::kB1;
  }

  int64_t top_k_;
  ActivationKind activation_;
  Gate gate_;
  Experts experts_;
  std::optional<ResidualMlp> residual_mlp_;
  TokenDispatcher* dispatcher_;
};

}  // namespace moe
