#include "engine/moe/moe_layer.h"

#include <algorithm>

#include "kernels/core/status_macros.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/moe_combine.h"

namespace moe {

absl::StatusOr<MoeScratch> MoeScratch::Create(const ModelConfig& config,
                                              int64_t max_rows) {
  MoeScratch s;
  const auto& experts = config.experts_per_layer;
  if (std::none_of(experts.begin(), experts.end(),
                   [](int64_t e) { return e > 0; })) {
    return s;
  }
  const int64_t hidden = config.hidden_size;
  const int64_t max_slots = max_rows * config.top_k;
  ASSIGN_OR_RETURN(s.gate, GateScratch::Create(config, max_rows));
  ASSIGN_OR_RETURN(s.expert_mlp, MlpScratch::Create(config, max_slots));
  ASSIGN_OR_RETURN(s.expert_out,
                   Tensor::Allocate(DType::kF32, {max_slots, hidden}));
  if (config.residual_moe != ResidualMoeKind::kNone) {
    ASSIGN_OR_RETURN(s.residual_mlp, MlpScratch::Create(config, max_rows));
    ASSIGN_OR_RETURN(s.mlp_out,
                     Tensor::Allocate(DType::kF32, {max_rows, hidden}));
    ASSIGN_OR_RETURN(s.coefficients,
                     Tensor::Allocate(DType::kF32, {max_rows, 2}));
  }
  return s;
}

MoeLayer::MoeLayer(const ModelConfig& config, Gate gate, Experts experts,
                   std::optional<ResidualMlp> residual_mlp,
                   TokenDispatcher* dispatcher)
    : top_k_(config.top_k),
      activation_(config.activation),
      gate_(std::move(gate)),
      experts_(std::move(experts)),
      residual_mlp_(std::move(residual_mlp)),
      dispatcher_(dispatcher) {}

absl::StatusOr<GatingResult> MoeLayer::Forward(const TensorView& x,
                                               const TensorView& residual,
                                               const TensorView& y,
                                               MoeScratch& scratch,
                                               Stream& stream) const {
  const int64_t rows = x.dims[0];
  MoeCombineArgs combine;
  LinearGroup logits[2] = {gate_.LogitsGroup(x, scratch.gate)};
  if (has_coefficients()) {
    combine.coefficients = scratch.coefficients.view().Rows(0, rows);
    logits[1] = residual_mlp_->coefficient.Group(x, combine.coefficients);
  }
  RETURN_IF_ERROR(GroupedLinear(
      absl::MakeConstSpan(logits, has_coefficients() ? 2 : 1), stream));
  ASSIGN_OR_RETURN(const GatingResult gating,
                   gate_.Choose(rows, scratch.gate, stream));
  ASSIGN_OR_RETURN(const DispatchedTokens tokens,
                   dispatcher_->Dispatch(x, gating, stream));

  const TensorView expert_out =
      scratch.expert_out.view().Rows(0, tokens.num_slots());
  scratch.jobs.clear();
  experts_.AppendJobs(tokens, scratch.expert_mlp, expert_out, scratch.jobs);
  if (residual_mlp_.has_value()) {
    combine.mlp_out = scratch.mlp_out.view().Rows(0, rows);
    MlpJob job;
    job.weights = &residual_mlp_->mlp;
    job.x = x;
    job.y = combine.mlp_out;
    UseScratch(scratch.residual_mlp, 0, rows, job);
    scratch.jobs.push_back(job);
  }
  RETURN_IF_ERROR(RunMlps(scratch.jobs, activation_, stream));

  ASSIGN_OR_RETURN(combine.expert_out,
                   dispatcher_->Combine(tokens, expert_out, stream));
  combine.slot_of = gating.slot_of;
  combine.weights = gating.weights;
  // Variant A counts the MLP's coefficient first, B2 the experts'.
  combine.moe_index =
      has_coefficients() && residual_mlp_->kind == ResidualMoeKind::kA ? 1 : 0;
  combine.residual = residual;
  combine.y = y;
  RETURN_IF_ERROR(MoeCombine(combine, stream));
  return gating;
}

int64_t MoeLayer::untouched_bytes(int64_t num_rows) const {
  const int64_t untouched = experts_.num_experts() - num_rows * top_k_;
  return std::max<int64_t>(untouched, 0) * experts_.expert_bytes();
}

}  // namespace moe
