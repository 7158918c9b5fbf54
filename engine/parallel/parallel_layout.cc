#include "engine/parallel/parallel_layout.h"

#include <algorithm>
#include <string>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

bool Nest(int a, int b) { return a % b == 0 || b % a == 0; }

absl::Status CheckLayer(int world_size, int tensor_degree,
                        const MoeLayerDegrees& d) {
  const std::string layer =
      absl::StrCat("layer ", d.layer, " (", d.num_experts, " experts)");
  if (d.num_experts < 1 || d.expert_degree < 1 || d.slice_degree < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        layer, ": expert degree ", d.expert_degree, ", slice degree ",
        d.slice_degree, "; experts and degrees must be positive"));
  }
  const int64_t block = int64_t{d.expert_degree} * d.slice_degree;
  if (block > world_size || world_size % block != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        layer, ": expert degree ", d.expert_degree, " x slice degree ",
        d.slice_degree, " = ", block, " must divide the world of ", world_size,
        " ranks (expert-data degree is the quotient)"));
  }
  if (d.expert_width % d.slice_degree != 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        layer, ": slice degree ", d.slice_degree,
        " does not divide the experts' width of ", d.expert_width));
  }
  if (!Nest(static_cast<int>(block), tensor_degree) ||
      !Nest(d.slice_degree, tensor_degree)) {
    return absl::InvalidArgumentError(
        absl::StrCat(layer, ": expert degree ", d.expert_degree,
                     " x slice degree ", d.slice_degree, " = ", block,
                     " does not fit tensor degree ", tensor_degree,
                     ": the product and the slice degree must each be a "
                     "multiple or a divisor of it"));
  }
  return absl::OkStatus();
}

}  // namespace

ExpertPlacement::ExpertPlacement(int world_size, const MoeLayerDegrees& degrees)
    : num_experts_(degrees.num_experts),
      expert_degree_(degrees.expert_degree),
      slice_degree_(degrees.slice_degree),
      expert_data_degree_(world_size /
                          (degrees.expert_degree * degrees.slice_degree)) {}

int ExpertPlacement::ExpertsBegin(int expert_rank) const {
  const int each = num_experts_ / expert_degree_;
  const int more = num_experts_ % expert_degree_;
  return expert_rank * each + std::min(expert_rank, more);
}

std::vector<int> ExpertPlacement::ExpertGroup(int rank) const {
  std::vector<int> ranks(expert_degree_);
  for (int e = 0; e < expert_degree_; ++e) {
    ranks[e] = (expert_data_rank(rank) * expert_degree_ + e) * slice_degree_ +
               slice_rank(rank);
  }
  return ranks;
}

std::vector<int> ExpertPlacement::SliceGroup(int rank) const {
  std::vector<int> ranks(slice_degree_);
  for (int s = 0; s < slice_degree_; ++s) {
    ranks[s] = rank - slice_rank(rank) + s;
  }
  return ranks;
}

absl::StatusOr<ParallelLayout> ParallelLayout::Create(
    int world_size, int tensor_degree,
    absl::Span<const MoeLayerDegrees> moe_layers) {
  if (world_size < 1 || tensor_degree < 1 || world_size % tensor_degree != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor degree ", tensor_degree,
                     " must divide the world of ", world_size, " ranks"));
  }
  ParallelLayout layout;
  layout.world_size_ = world_size;
  layout.tensor_degree_ = tensor_degree;
  for (const MoeLayerDegrees& degrees : moe_layers) {
    RETURN_IF_ERROR(CheckLayer(world_size, tensor_degree, degrees));
    layout.placements_.emplace_back(world_size, degrees);
  }
  return layout;
}

int ParallelLayout::ReplicationInExpertGroup(int moe_layer_idx) const {
  const ExpertPlacement& placement = placements_[moe_layer_idx];
  return std::min(placement.expert_degree(),
                  std::max(1, tensor_degree_ / placement.slice_degree()));
}

}  // namespace moe
