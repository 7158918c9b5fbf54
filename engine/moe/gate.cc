#include "engine/moe/gate.h"

#include <algorithm>

#include "kernels/core/status_macros.h"
#include "kernels/ops/moe_gating.h"

namespace moe {

absl::StatusOr<GateScratch> GateScratch::Create(DeviceBackend& backend,
                                                const ModelConfig& config,
                                                int64_t max_rows) {
  int64_t max_experts = 0;
  for (int64_t layer = 0; layer < config.num_layers(); ++layer) {
    max_experts = std::max(max_experts, config.num_experts(layer));
  }
  GateScratch s;
  const int64_t max_slots = max_rows * config.max_top_k();
  ASSIGN_OR_RETURN(s.logits_, Tensor::Allocate(backend, DType::kF32,
                                               {max_rows * max_experts}));
  ASSIGN_OR_RETURN(s.expert_ids_,
                   Tensor::Allocate(backend, DType::kI32, {max_slots}));
  ASSIGN_OR_RETURN(s.weights_,
                   Tensor::Allocate(backend, DType::kF32, {max_slots}));
  ASSIGN_OR_RETURN(s.expert_offsets_,
                   Tensor::Allocate(backend, DType::kI32, {max_experts + 1}));
  ASSIGN_OR_RETURN(s.row_of_slot_,
                   Tensor::Allocate(backend, DType::kI32, {max_slots}));
  ASSIGN_OR_RETURN(s.slot_of_,
                   Tensor::Allocate(backend, DType::kI32, {max_slots}));
  return s;
}

TensorView GateScratch::Logits(int64_t rows, int64_t experts) const {
  return logits_.AsRows(rows, experts);
}

GatingResult GateScratch::Result(int64_t rows, int64_t experts,
                                 int64_t top_k) const {
  return {.expert_ids = expert_ids_.AsRows(rows, top_k),
          .weights = weights_.AsRows(rows, top_k),
          .expert_offsets = expert_offsets_.view().Rows(0, experts + 1),
          .row_of_slot = row_of_slot_.view().Rows(0, rows * top_k),
          .slot_of = slot_of_.AsRows(rows, top_k)};
}

Gate::Gate(const MoeConfig& config, WeightMatrix weight)
    : top_k_(config.top_k),
      normalize_(config.normalize_top_k && config.top_k >= 2),
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
  const GatingResult result = scratch.Result(rows, num_experts(), top_k_);
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
