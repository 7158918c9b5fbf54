#include "engine/parallel/process_groups.h"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "comm/staged_communicator.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<std::unique_ptr<ProcessGroups>> ProcessGroups::Create(
    std::unique_ptr<HostCommunicator> world, const Topology& topology,
    const ParallelLayout& layout, DeviceBackend& backend) {
  if (world->size() != layout.world_size() ||
      world->size() != topology.world_size()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "ProcessGroups: the world has ", world->size(), " ranks, the topology ",
        topology.world_size(), ", the layout ", layout.world_size()));
  }
  auto groups = std::unique_ptr<ProcessGroups>(new ProcessGroups(backend));
  groups->world_ = std::move(world);
  const int rank = groups->world_->rank();
  ASSIGN_OR_RETURN(groups->tensor_,
                   groups->Split(layout.data_rank(rank), rank, "tensor"));
  ASSIGN_OR_RETURN(groups->data_, groups->world_->Split(
                                      layout.tensor_rank(rank), rank, "data"));
  // By (ep, es), to which all layers of one world have the same groups.
  std::map<std::pair<int, int>, MoeLayerGroups> made;
  for (int i = 0; i < layout.num_moe_layers(); ++i) {
    const ExpertPlacement& placement = layout.placement(i);
    const std::pair<int, int> key = {placement.expert_degree(),
                                     placement.slice_degree()};
    auto it = made.find(key);
    if (it == made.end()) {
      ASSIGN_OR_RETURN(
          MoeLayerGroups layer,
          groups->MakeLayerGroups(topology, placement,
                                  layout.ReplicationInExpertGroup(i)));
      it = made.emplace(key, layer).first;
    }
    groups->layers_.push_back(it->second);
  }
  return groups;
}

absl::StatusOr<Communicator*> ProcessGroups::Split(int color, int key,
                                                   const std::string& name) {
  ASSIGN_OR_RETURN(std::unique_ptr<HostCommunicator> group,
                   world_->Split(color, key, name));
  owned_.push_back(
      std::make_unique<StagedCommunicator>(std::move(group), backend_));
  return owned_.back().get();
}

absl::StatusOr<MoeLayerGroups> ProcessGroups::MakeLayerGroups(
    const Topology& topology, const ExpertPlacement& placement,
    int replication) {
  const int rank = world_->rank();
  const std::string degrees = absl::StrCat(
      "[ep=", placement.expert_degree(), ",es=", placement.slice_degree(), "]");
  // A group's lowest world rank is its color.
  const std::vector<int> expert = placement.ExpertGroup(rank);
  MoeLayerGroups groups;
  ASSIGN_OR_RETURN(groups.expert,
                   Split(expert[0], rank, absl::StrCat("expert", degrees)));
  ASSIGN_OR_RETURN(groups.slice, Split(placement.SliceGroup(rank)[0], rank,
                                       absl::StrCat("slice", degrees)));
  const int own = groups.expert->rank();
  const int replica_begin = own - own % replication;
  ASSIGN_OR_RETURN(groups.expert_replicas,
                   Split(expert[replica_begin], rank,
                         absl::StrCat("expert_replicas", degrees)));
  ASSIGN_OR_RETURN(groups.expert_peers,
                   Split(expert[own % replication], rank,
                         absl::StrCat("expert_peers", degrees)));

  // Every rank must come to the same answer, for Split is collective: all
  // expert groups, not only this rank's, must have a shape.
  bool hierarchical = true;
  for (int r = 0; hierarchical && r < world_->size(); ++r) {
    const absl::StatusOr<NodeShape> shape =
        topology.ShapeOf(placement.ExpertGroup(r));
    hierarchical =
        shape.ok() && shape->num_nodes > 1 && shape->ranks_per_node > 1;
  }
  groups.expert_shape = topology.ShapeOf(expert).value_or(
      NodeShape{placement.expert_degree(), 1});
  if (!hierarchical) {
    if (groups.expert_shape.num_nodes > 1) {
      groups.expert_shape = {placement.expert_degree(), 1};
    }
    return groups;
  }
  const int per_node = groups.expert_shape.ranks_per_node;
  ASSIGN_OR_RETURN(groups.expert_node,
                   Split(expert[own - own % per_node], rank,
                         absl::StrCat("expert_node", degrees)));
  ASSIGN_OR_RETURN(groups.expert_cross,
                   Split(expert[own % per_node], rank,
                         absl::StrCat("expert_cross", degrees)));
  return groups;
}

void ProcessGroups::SetStep(int64_t step) {
  for (HostCommunicator* group : All()) group->set_step(step);
}

void ProcessGroups::Abort(const absl::Status& reason) {
  for (HostCommunicator* group : All()) group->Abort(reason);
}

std::vector<HostCommunicator*> ProcessGroups::All() const {
  std::vector<HostCommunicator*> all = {world_.get(), data_.get()};
  for (const auto& group : owned_) all.push_back(&group->host());
  return all;
}

}  // namespace moe
