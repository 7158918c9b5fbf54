#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace moe {

// "NxG": N nodes of G ranks each.
struct NodeShape {
  int num_nodes = 1;
  int ranks_per_node = 1;
};

// "4x2" -> {4, 2}; kInvalidArgument for anything else.
absl::StatusOr<NodeShape> ParseNodeShape(absl::string_view text);

// Which ranks of the world share a node (memory). A value; nodes are numbered
// by their lowest rank.
class Topology {
 public:
  // One node for each rank, any numbers; equal numbers are one node. [world]
  static absl::StatusOr<Topology> FromNodeIds(absl::Span<const int> node_ids);
  // Consecutive runs of G ranks are a node, whatever the machine is: for tests.
  static absl::StatusOr<Topology> FromShape(NodeShape shape);
  static Topology OneNode(int world_size);

  int world_size() const { return static_cast<int>(node_of_.size()); }
  int num_nodes() const { return static_cast<int>(ranks_on_.size()); }
  int node_of(int rank) const { return node_of_[rank]; }
  // Position of the rank among those of its node.
  int local_rank_of(int rank) const { return local_rank_of_[rank]; }
  // Ascending.
  const std::vector<int>& ranks_on(int node) const { return ranks_on_[node]; }

  // The shape of a group of `ranks` (world ranks, in the group's order) if its
  // member (n, g) is its rank n * G + g for some N x G; kFailedPrecondition
  // with the reason otherwise. Hierarchical exchanges need it.
  absl::StatusOr<NodeShape> ShapeOf(absl::Span<const int> ranks) const;

  // "2 nodes: 0-3 | 4-7".
  std::string ToString() const;

 private:
  std::vector<int> node_of_;
  std::vector<int> local_rank_of_;
  std::vector<std::vector<int>> ranks_on_;
};

}  // namespace moe
