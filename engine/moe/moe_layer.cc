#include "engine/moe/moe_layer.h"

#include <algorithm>

#include "engine/moe/ensure_capacity.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/moe_combine.h"

namespace moe {
namespace {

// Rows that a product computes between two polls: so many that reading its
// weights once more each time costs little.
constexpr int64_t kRowsBetweenPolls = 128;

void CountRows(const GatingResult& gating, MoeLayerLoad& load) {
  const int32_t* const offsets = gating.expert_offsets.ptr<int32_t>();
  const int64_t experts = gating.expert_offsets.dims[0] - 1;
  load.rows_by_expert.resize(experts);
  for (int64_t e = 0; e < experts; ++e) {
    load.rows_by_expert[e] += offsets[e + 1] - offsets[e];
  }
}

MlpJob RowsOf(const MlpJob& job, int64_t begin, int64_t end) {
  MlpJob part = job;
  part.x = job.x.Rows(begin, end);
  part.y = job.y.Rows(begin, end);
  part.up = job.up.Rows(begin, end);
  if (!job.activated.empty()) part.activated = job.activated.Rows(begin, end);
  return part;
}

}  // namespace

absl::StatusOr<MoeScratch> MoeScratch::Create(const ModelConfig& config,
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
  ASSIGN_OR_RETURN(s.gate, GateScratch::Create(config, max_rows));
  ASSIGN_OR_RETURN(s.expert_mlp, MlpScratch::Create(experts, max_slots));
  ASSIGN_OR_RETURN(s.expert_out,
                   Tensor::Allocate(DType::kF32, {max_slots, hidden}));
  if (!residuals.empty()) {
    ASSIGN_OR_RETURN(s.residual_mlp, MlpScratch::Create(residuals, max_rows));
    ASSIGN_OR_RETURN(s.mlp_out,
                     Tensor::Allocate(DType::kF32, {max_rows, hidden}));
    ASSIGN_OR_RETURN(s.coefficients,
                     Tensor::Allocate(DType::kF32, {max_rows, 2}));
  }
  return s;
}

absl::Status MoeScratch::ReserveSlots(int64_t slots, int64_t hidden,
                                      const Experts& experts) {
  RETURN_IF_ERROR(EnsureCapacity(slots * experts.up_features(), expert_mlp.up));
  if (!expert_mlp.activated.view().empty()) {
    RETURN_IF_ERROR(
        EnsureCapacity(slots * experts.ffn_features(), expert_mlp.activated));
  }
  return EnsureCapacity(slots * hidden, expert_out);
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
                                       Stream& stream) const {
  const int64_t rows = job.y.dims[0];
  for (int64_t begin = 0; begin < rows; begin += kRowsBetweenPolls) {
    const MlpJob part =
        RowsOf(job, begin, std::min(begin + kRowsBetweenPolls, rows));
    RETURN_IF_ERROR(half({&part, 1}, activation_, stream));
    RETURN_IF_ERROR(dispatcher_->Poll().status());
  }
  return absl::OkStatus();
}

absl::StatusOr<GatingResult> MoeLayer::Forward(
    const TensorView& x, const TensorView& residual, const TensorView& y,
    const MoeStep& step, MoeScratch& scratch, Stream& stream) const {
  const int64_t rows = x.dims[0], hidden = x.dims[1];
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
  if (step.load != nullptr) CountRows(gating, *step.load);
  RETURN_IF_ERROR(dispatcher_->BeginDispatch(x, gating, step));

  MlpJob mlp;
  bool mlp_begun = false;
  if (residual_mlp_.has_value()) {
    mlp = ResidualJob(x, scratch);
    combine.mlp_out = mlp.y;
    ASSIGN_OR_RETURN(const bool arrived, dispatcher_->Poll());
    if (!arrived) {
      RETURN_IF_ERROR(RunWhilePolling(mlp, RunMlpUps, stream));
      mlp_begun = true;
    }
  }
  ASSIGN_OR_RETURN(const DispatchedTokens tokens,
                   dispatcher_->FinishDispatch());
  const int64_t slots = tokens.num_slots();
  if (step.load != nullptr) step.load->computed_slots += slots;
  RETURN_IF_ERROR(scratch.ReserveSlots(slots, hidden, experts_));
  const TensorView expert_out =
      MakeView(scratch.expert_out.ptr<float>(), DType::kF32, {slots, hidden});

  std::vector<MlpJob>& jobs = scratch.jobs;
  jobs.clear();
  experts_.AppendJobs(tokens, scratch.expert_mlp, expert_out, jobs);
  // The residual MLP rides on the experts' jobs where nothing else would fill
  // their time.
  const bool mlp_along = residual_mlp_.has_value() && !mlp_begun && rows > 0;
  if (mlp_along) jobs.push_back(mlp);
  RETURN_IF_ERROR(RunMlpUps(jobs, activation_, stream));
  const bool overlap = !dispatcher_->is_local();
  if (mlp_along && overlap) jobs.pop_back();
  RETURN_IF_ERROR(RunMlpDowns(jobs, activation_, stream));
  RETURN_IF_ERROR(dispatcher_->BeginCombine(tokens, expert_out));
  if (residual_mlp_.has_value()) {
    if (overlap) {
      RETURN_IF_ERROR(RunWhilePolling(mlp, RunMlpDowns, stream));
    }
    if (tensor_group_ != nullptr) {
      RETURN_IF_ERROR(tensor_group_->AllReduce(absl::MakeSpan(
          mlp.y.ptr<float>(), static_cast<size_t>(rows * hidden))));
    }
  }
  ASSIGN_OR_RETURN(const CombinedTokens combined, dispatcher_->FinishCombine());
  combine.expert_out = combined.expert_out;
  combine.slot_of = combined.slot_of;
  combine.weights = gating.weights;
  // Variant A counts the MLP's coefficient first, B2 the experts'.
  combine.moe_index =
      has_coefficients() && residual_mlp_->kind == ResidualMoeKind::kA ? 1 : 0;
  combine.residual = residual;
  combine.y = y;
  RETURN_IF_ERROR(MoeCombine(combine, stream));
  return gating;
}

}  // namespace moe
