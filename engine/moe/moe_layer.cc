#include "engine/moe/moe_layer.h"

#include <algorithm>
#include <memory>

#include "kernels/core/ensure_capacity.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/count_expert_rows.h"
#include "kernels/ops/linear.h"

namespace moe {
namespace {

// Rows that a product computes between two polls: so many that reading its
// weights once more each time costs little.
constexpr int64_t kRowsBetweenPolls = 128;

MlpJob RowsOf(const MlpJob& job, int64_t begin, int64_t end) {
  MlpJob part = job;
  part.x = job.x.Rows(begin, end);
  part.y = job.y.Rows(begin, end);
  part.up = job.up.Rows(begin, end);
  if (!job.activated.empty()) part.activated = job.activated.Rows(begin, end);
  return part;
}

}  // namespace

absl::StatusOr<MoeScratch> MoeScratch::Create(DeviceBackend& backend,
                                              const ModelConfig& config,
                                              int64_t max_rows,
                                              int tensor_degree) {
  MoeScratch s;
  if (!config.has_experts()) return s;
  std::vector<MlpConfig> experts, residuals;
  for (const LayerConfig& layer : config.layers) {
    if (!layer.is_moe()) continue;
    experts.push_back(layer.moe().mlp);
    if (!layer.moe().has_residual_mlp()) continue;
    residuals.push_back(layer.moe().mlp);
    residuals.back().ffn_hidden_size /= tensor_degree;
  }
  const int64_t hidden = config.hidden_size;
  const int64_t max_slots = max_rows * config.max_top_k();
  ASSIGN_OR_RETURN(s.gate, GateScratch::Create(backend, config, max_rows));
  ASSIGN_OR_RETURN(s.expert_mlp,
                   MlpScratch::Create(backend, experts, max_slots));
  const DType dtype = backend.activation_dtype();
  ASSIGN_OR_RETURN(s.expert_out,
                   Tensor::Allocate(backend, dtype, {max_slots, hidden}));
  if (!residuals.empty()) {
    ASSIGN_OR_RETURN(s.residual_mlp,
                     MlpScratch::Create(backend, residuals, max_rows));
    ASSIGN_OR_RETURN(s.mlp_out,
                     Tensor::Allocate(backend, dtype, {max_rows, hidden}));
    ASSIGN_OR_RETURN(s.coefficients,
                     Tensor::Allocate(backend, DType::kF32, {max_rows, 2}));
  }
  return s;
}

absl::Status MoeScratch::ReserveSlots(int64_t slots, int64_t hidden,
                                      const Experts& experts, Stream& stream) {
  RETURN_IF_ERROR(
      EnsureCapacity(slots * experts.up_features(), stream, expert_mlp.up));
  if (!expert_mlp.activated.view().empty()) {
    RETURN_IF_ERROR(EnsureCapacity(slots * experts.ffn_features(), stream,
                                   expert_mlp.activated));
  }
  return EnsureCapacity(slots * hidden, stream, expert_out);
}

int64_t MoeScratch::MaxGrowthBytes(const ModelConfig& config, int64_t max_rows,
                                   int64_t slots, int64_t up,
                                   int64_t activated) {
  const int64_t own_slots = max_rows * config.max_top_k();
  int64_t own_up = 0, own_activated = 0;
  for (const LayerConfig& layer : config.layers) {
    if (!layer.is_moe()) continue;
    const MlpConfig& expert = layer.moe().mlp;
    own_up = std::max(own_up, own_slots * expert.up_rows());
    if (!expert.is_gated()) continue;
    own_activated = std::max(own_activated, own_slots * expert.ffn_hidden_size);
  }
  const int64_t elements =
      MaxGrowth(slots * config.hidden_size, own_slots * config.hidden_size) +
      MaxGrowth(up, own_up) + MaxGrowth(activated, own_activated);
  return elements * static_cast<int64_t>(sizeof(float));
}

MoeLayer::MoeLayer(const MoeConfig& config, Gate gate, Experts experts,
                   std::optional<ResidualMlp> residual_mlp,
                   TokenDispatcher* dispatcher, Communicator* tensor_group)
    : activation_(config.mlp.activation),
      gate_(std::move(gate)),
      experts_(std::move(experts)),
      residual_mlp_(std::move(residual_mlp)),
      dispatcher_(dispatcher),
      tensor_group_(tensor_group) {}

MlpJob MoeLayer::ResidualJob(const TensorView& x,
                             const MoeScratch& scratch) const {
  MlpJob job;
  job.weights = &residual_mlp_->mlp;
  job.x = x;
  job.y = scratch.mlp_out.view().Rows(0, x.dims[0]);
  UseScratch(scratch.residual_mlp, 0, x.dims[0], job);
  return job;
}

absl::Status MoeLayer::RunWhilePolling(const MlpJob& job, MlpHalf half,
                                       DispatchHandle& dispatch,
                                       Stream& stream) const {
  const int64_t rows = job.y.dims[0];
  for (int64_t begin = 0; begin < rows; begin += kRowsBetweenPolls) {
    const MlpJob part =
        RowsOf(job, begin, std::min(begin + kRowsBetweenPolls, rows));
    RETURN_IF_ERROR(half({&part, 1}, activation_, stream));
    RETURN_IF_ERROR(dispatch.Poll().status());
  }
  return absl::OkStatus();
}

absl::StatusOr<GatingResult> MoeLayer::Forward(
    const TensorView& x, const TensorView& residual, const TensorView& y,
    const MoeStep& step, MoeScratch& scratch, Stream& stream) const {
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
  if (!step.expert_rows.empty()) {
    RETURN_IF_ERROR(
        CountExpertRows({gating.expert_offsets, step.expert_rows}, stream));
  }
  // In the scratch: of a layer that fails the handle must stay.
  ASSIGN_OR_RETURN(scratch.dispatch,
                   dispatcher_->Dispatch(x, gating, step, stream));
  combine.weights = gating.weights;
  combine.residual = residual;
  combine.y = y;
  RETURN_IF_ERROR(FinishForward(x, step, combine, scratch, stream));
  scratch.dispatch.reset();
  return gating;
}

absl::Status MoeLayer::FinishForward(const TensorView& x, const MoeStep& step,
                                     MoeCombineArgs combine,
                                     MoeScratch& scratch,
                                     Stream& stream) const {
  DispatchHandle& dispatch = *scratch.dispatch;
  const int64_t rows = x.dims[0], hidden = x.dims[1];
  MlpJob mlp;
  bool mlp_begun = false;
  if (residual_mlp_.has_value()) {
    mlp = ResidualJob(x, scratch);
    combine.mlp_out = mlp.y;
    ASSIGN_OR_RETURN(const bool arrived, dispatch.Poll());
    if (!arrived) {
      RETURN_IF_ERROR(RunWhilePolling(mlp, RunMlpUps, dispatch, stream));
      mlp_begun = true;
    }
  }
  ASSIGN_OR_RETURN(const DispatchedTokens tokens, dispatch.FinishDispatch());
  const int64_t slots = tokens.num_slots();
  if (step.load != nullptr) step.load->computed_slots += slots;
  RETURN_IF_ERROR(scratch.ReserveSlots(slots, hidden, experts_, stream));
  const TensorView expert_out = scratch.expert_out.AsRows(slots, hidden);
  // The residual MLP rides on the experts' jobs where nothing else would fill
  // their time.
  const bool mlp_along = residual_mlp_.has_value() && !mlp_begun && rows > 0;
  const bool overlap = !dispatcher_->is_local();
  RETURN_IF_ERROR(experts_.RunUps(tokens, activation_, scratch.expert_mlp,
                                  mlp_along ? &mlp : nullptr, stream));
  RETURN_IF_ERROR(
      experts_.RunDowns(tokens, activation_, scratch.expert_mlp, expert_out,
                        mlp_along && !overlap ? &mlp : nullptr, stream));
  RETURN_IF_ERROR(dispatch.BeginCombine(expert_out));
  if (residual_mlp_.has_value()) {
    if (overlap) {
      RETURN_IF_ERROR(RunWhilePolling(mlp, RunMlpDowns, dispatch, stream));
    }
    if (tensor_group_ != nullptr) {
      RETURN_IF_ERROR(tensor_group_->AllReduce(mlp.y, stream));
    }
  }
  ASSIGN_OR_RETURN(const CombinedTokens combined, dispatch.FinishCombine());
  combine.expert_out = combined.expert_out;
  combine.slot_of = combined.slot_of;
  // Variant A counts the MLP's coefficient first, B2 the experts'.
  combine.moe_index =
      has_coefficients() && residual_mlp_->kind == ResidualMoeKind::kA ? 1 : 0;
  return MoeCombine(combine, stream);
}

}  // namespace moe
