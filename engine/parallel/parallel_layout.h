#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace moe {

// How one MoE layer is to be spread. The expert-data degree follows:
// world / (expert_degree * slice_degree).
struct MoeLayerDegrees {
  int layer = 0;  // in the model; for messages
  int num_experts = 1;
  int expert_degree = 1;  // ep: sets of experts
  int slice_degree = 1;   // es: parts that each expert is cut into
  // Features inside an expert, which slices divide; 0: not checked.
  int64_t expert_width = 0;
};

// Where experts live for one (num_experts, ep, es) over the world. Ranks are
// ordered rank = (expert_data_rank * ep + expert_rank) * es + slice_rank: the
// slices of an expert, which reduce over each other, are neighbours; then come
// the ranks that exchange tokens; copies are furthest apart.
class ExpertPlacement {
 public:
  ExpertPlacement(int world_size, const MoeLayerDegrees& degrees);

  int num_experts() const { return num_experts_; }
  int expert_degree() const { return expert_degree_; }
  int slice_degree() const { return slice_degree_; }
  int expert_data_degree() const { return expert_data_degree_; }

  int slice_rank(int rank) const { return rank % slice_degree_; }
  int expert_rank(int rank) const {
    return rank / slice_degree_ % expert_degree_;
  }
  int expert_data_rank(int rank) const {
    return rank / (slice_degree_ * expert_degree_);
  }

  // Experts [ExpertsBegin(e), ExpertsBegin(e + 1)) live on expert rank e:
  // contiguous, the first num_experts % ep ranks holding one more. A rank holds
  // none where ep exceeds num_experts.
  int ExpertsBegin(int expert_rank) const;
  int NumExpertsOn(int expert_rank) const {
    return ExpertsBegin(expert_rank + 1) - ExpertsBegin(expert_rank);
  }

  // World ranks of the groups that `rank` is in, each in group order.
  std::vector<int> ExpertGroup(int rank) const;  // [ep] exchange tokens
  std::vector<int> SliceGroup(int rank) const;   // [es] one expert's parts

 private:
  int num_experts_, expert_degree_, slice_degree_, expert_data_degree_;
};

// The whole model's layout over the world. Tensor groups are runs of
// `tensor_degree` ranks that hold the same tokens: rank = data_rank *
// tensor_degree + tensor_rank. A value, equal on all ranks.
class ParallelLayout {
 public:
  // kInvalidArgument, naming the layer and the numbers, unless
  //   tensor_degree divides world_size,
  //   ep * es divides world_size, in every layer,
  //   es divides the experts' width,
  //   ep * es is a multiple or a divisor of tensor_degree, and so is es: else a
  //   group would hold parts of a tensor group.
  static absl::StatusOr<ParallelLayout> Create(
      int world_size, int tensor_degree,
      absl::Span<const MoeLayerDegrees> moe_layers);

  int world_size() const { return world_size_; }
  int tensor_degree() const { return tensor_degree_; }
  int data_degree() const { return world_size_ / tensor_degree_; }
  int tensor_rank(int rank) const { return rank % tensor_degree_; }
  int data_rank(int rank) const { return rank / tensor_degree_; }

  int num_moe_layers() const { return static_cast<int>(placements_.size()); }
  // Of the i-th MoE layer, as given to Create.
  const ExpertPlacement& placement(int moe_layer_idx) const {
    return placements_[moe_layer_idx];
  }

  // How many consecutive members of a layer's expert group hold the same tokens
  // (they are of one tensor group): the degree of the coordinated exchange.
  int ReplicationInExpertGroup(int moe_layer_idx) const;

 private:
  int world_size_ = 1;
  int tensor_degree_ = 1;
  std::vector<ExpertPlacement> placements_;
};

}  // namespace moe
