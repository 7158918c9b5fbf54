#include "engine/moe/gate.h"

#include <algorithm>

#include "kernels/core/status_macros.h"
#include "kernels/ops/moe_gating.h"

namespace moe {

absl::StatusOr<GateScratch> GateScratch::Create(const ModelConfig& config,
                                                int64_t max_rows) {
  int64_t max_experts = 0;
  for (int64_t experts : config.experts_per_layer) {
    max_experts = std::max(max_experts, experts);
  }
  GateScratch s;
  const int64_t top_k = config.top_k;
  ASSIGN_OR_RETURN(s.logits_,
                   Tensor::Allocate(DType::kF32, {max_rows * max_experts}));
  ASSIGN_OR_RETURN(s.expert_ids_,
                   Tensor::Allocate(DType::kI32, {max_rows, top_k}));
  ASSIGN_OR_RETURN(s.weights_,
                   Tensor::Allocate(DType::kF32, {max_rows, top_k}));
  ASSIGN_OR_RETURN(s.expert_offsets_,
                   Tensor::Allocate(DType::kI32, {max_experts + 1}));
  ASSIGN_OR_RETURN(s.row_of_slot_,
                   Tensor::Allocate(DType::kI32, {max_rows * top_k}));
  ASSIGN_OR_RETURN(s.slot_of_,
                   Tensor::Allocate(DType::kI32, {max_rows, top_k}));
  return s;
}

TensorView GateScratch::Logits(int64_t rows, int64_t experts) const {
  return MakeView(logits_.view().data, DType::kF32, {rows, experts});
}

GatingResult GateScratch::Result(int64_t rows, int64_t experts) const {
  const int64_t top_k = expert_ids_.dim(1);
  return {.expert_ids = expert_ids_.view().Rows(0, rows),
          .weights = weights_.view().Rows(0, rows),
          .expert_offsets = expert_offsets_.view().Rows(0, experts + 1),
          .row_of_slot = row_of_slot_.view().Rows(0, rows * top_k),
          .slot_of = slot_of_.view().Rows(0, rows)};
}

Gate::Gate(const ModelConfig& config, WeightMatrix weight)
    : normalize_(config.normalize_top_k && config.top_k >= 2),
      weight_(std::move(weight)) {}

LinearGroup Gate::LogitsGroup(const TensorView& x,
                              const GateScratch& scratch) const {
  LinearGroup group;
  group.weight = &weight_;
  group.x = x;
  group.y = scratch.Logits(x.dims[0], num_experts());
  return group;
}

absl::StatusOr<GatingResult> Gate::Choose(int64_t rows,
                                          const GateScratch& scratch,
                                          Stream& stream) const {
  const GatingResult result = scratch.Result(rows, num_experts());
  RETURN_IF_ERROR(MoeGating({.logits = scratch.Logits(rows, num_experts()),
                             .normalize = normalize_,
                             .expert_ids = result.expert_ids,
                             .weights = result.weights,
                             .expert_offsets = result.expert_offsets,
                             .row_of_slot = result.row_of_slot,
                             .slot_of = result.slot_of},
                            stream));
  return result;
}

}  // namespace moe
