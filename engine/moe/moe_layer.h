#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "comm/communicator.h"
#include "engine/config/model_config.h"
#include "engine/layers/grouped_mlp.h"
#include "engine/moe/experts.h"
#include "engine/moe/gate.h"
#include "engine/moe/token_dispatcher.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/moe_combine.h"

namespace moe {

// Buffers of a MoE layer, shared by all layers of a model, as they run one
// after the other.
struct MoeScratch {
  // For steps of up to max_rows rows; empty for a model without MoE layers. The
  // residual MLPs are cut over `tensor_degree` ranks.
  static absl::StatusOr<MoeScratch> Create(DeviceBackend& backend,
                                           const ModelConfig& config,
                                           int64_t max_rows,
                                           int tensor_degree = 1);
  // Makes room for `slots` rows of `experts`, more than this rank's own where
  // others send theirs.
  absl::Status ReserveSlots(int64_t slots, int64_t hidden,
                            const Experts& experts, Stream& stream);

  // Bytes that ReserveSlots may add to what Create has made, if a layer needs
  // up to `slots`, and all slots of a step together up to `up` numbers from the
  // experts' first product and, where that is gated, `activated` behind it.
  static int64_t MaxGrowthBytes(const ModelConfig& config, int64_t max_rows,
                                int64_t slots, int64_t up, int64_t activated);

  GateScratch gate;
  MlpScratch expert_mlp;    // rows are slots
  MlpScratch residual_mlp;  // if the model is a residual MoE
  Tensor expert_out;        // [max_rows * top_k, hidden], or grown
  Tensor mlp_out;           // [max_rows, hidden]
  Tensor coefficients;      // [max_rows, 2]

  // Null between layers. The handle of a layer that failed stays here, since
  // its end could wait for ranks that wait for this one: the caller of the step
  // aborts the groups, then destroys the scratch.
  std::unique_ptr<DispatchHandle> dispatch;
};

// The dense branch of a residual MoE layer (see ResidualMoeKind).
struct ResidualMlp {
  ResidualMoeKind kind = ResidualMoeKind::kNone;
  MlpWeights mlp;             // this tensor rank's features
  LinearWeights coefficient;  // [2, hidden], packed as f32; unused by kB1
};

// gate -> dispatch -> experts and residual MLP -> combine. On one rank experts
// and residual MLP are one grouped job; with experts on several ranks, the
// first half of the residual MLP runs while rows are sent, the second half and
// its sum over the tensor ranks while the results return. Not thread-safe, as
// its dispatcher is not.
class MoeLayer {
 public:
  // The dispatcher is borrowed, and so is the group of the tensor ranks; null:
  // the residual MLP is whole.
  MoeLayer(const MoeConfig& config, Gate gate, Experts experts,
           std::optional<ResidualMlp> residual_mlp, TokenDispatcher* dispatcher,
           Communicator* tensor_group = nullptr);

  // y[r, :] = residual[r, :] + moe(x[r, :]), rows of [rows, hidden] f32; y may
  // alias residual, not x. The gating is valid until the scratch's next use.
  // A row whose gate logits are not finite becomes NaN; no other does.
  absl::StatusOr<GatingResult> Forward(const TensorView& x,
                                       const TensorView& residual,
                                       const TensorView& y, const MoeStep& step,
                                       MoeScratch& scratch,
                                       Stream& stream) const;

 private:
  using MlpHalf = absl::Status (*)(absl::Span<const MlpJob>, ActivationKind,
                                   Stream&);

  bool has_coefficients() const {
    return residual_mlp_.has_value() &&
           residual_mlp_->kind != ResidualMoeKind::kB1;
  }
  // x [rows, hidden] to the scratch's mlp_out.
  MlpJob ResidualJob(const TensorView& x, const MoeScratch& scratch) const;
  // Runs one half of `job` in pieces, and polls the dispatch between them.
  absl::Status RunWhilePolling(const MlpJob& job, MlpHalf half,
                               DispatchHandle& dispatch, Stream& stream) const;
  // What follows the begin of the scratch's dispatch; `combine` has what it
  // does not make.
  absl::Status FinishForward(const TensorView& x, const MoeStep& step,
                             MoeCombineArgs combine, MoeScratch& scratch,
                             Stream& stream) const;

  ActivationKind activation_;
  Gate gate_;
  Experts experts_;
  std::optional<ResidualMlp> residual_mlp_;
  TokenDispatcher* dispatcher_;
  Communicator* tensor_group_;
};

}  // namespace moe
