#include "comm/topology.h"

#include <map>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// {0, 1, 2, 5} -> "0-2,5".
std::string FormatRanks(const std::vector<int>& ranks) {
  std::vector<std::string> runs;
  for (size_t i = 0; i < ranks.size();) {
    size_t j = i;
    while (j + 1 < ranks.size() && ranks[j + 1] == ranks[j] + 1) ++j;
    runs.push_back(i == j ? absl::StrCat(ranks[i])
                          : absl::StrCat(ranks[i], "-", ranks[j]));
    i = j + 1;
  }
  return absl::StrJoin(runs, ",");
}

}  // namespace

absl::StatusOr<NodeShape> ParseNodeShape(absl::string_view text) {
  const std::vector<absl::string_view> parts = absl::StrSplit(text, 'x');
  NodeShape shape;
  if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &shape.num_nodes) ||
      !absl::SimpleAtoi(parts[1], &shape.ranks_per_node) ||
      shape.num_nodes < 1 || shape.ranks_per_node < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("node shape '", text,
                     "' is not <nodes>x<ranks per node>, such as 4x2"));
  }
  return shape;
}

absl::StatusOr<Topology> Topology::FromNodeIds(absl::Span<const int> node_ids) {
  if (node_ids.empty()) {
    return absl::InvalidArgumentError("Topology: a world of no ranks");
  }
  Topology topology;
  std::map<int, int> node_of_id;
  for (int rank = 0; rank < static_cast<int>(node_ids.size()); ++rank) {
    const auto [it, is_new] =
        node_of_id.emplace(node_ids[rank], topology.num_nodes());
    if (is_new) topology.ranks_on_.emplace_back();
    std::vector<int>& ranks = topology.ranks_on_[it->second];
    topology.node_of_.push_back(it->second);
    topology.local_rank_of_.push_back(static_cast<int>(ranks.size()));
    ranks.push_back(rank);
  }
  return topology;
}

absl::StatusOr<Topology> Topology::FromShape(NodeShape shape) {
  if (shape.num_nodes < 1 || shape.ranks_per_node < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("Topology: ", shape.num_nodes, " nodes x ",
                     shape.ranks_per_node, " ranks; both must be positive"));
  }
  std::vector<int> nodes(shape.num_nodes * shape.ranks_per_node);
  for (size_t r = 0; r < nodes.size(); ++r) {
    nodes[r] = static_cast<int>(r) / shape.ranks_per_node;
  }
  return FromNodeIds(nodes);
}

Topology Topology::OneNode(int world_size) {
  return *FromNodeIds(std::vector<int>(world_size, 0));
}

absl::StatusOr<NodeShape> Topology::ShapeOf(absl::Span<const int> ranks) const {
  if (ranks.empty()) {
    return absl::InvalidArgumentError("Topology: a group of no ranks");
  }
  std::vector<int> runs;  // members in a row on one node
  std::vector<bool> seen(num_nodes(), false);
  for (size_t i = 0; i < ranks.size(); ++i) {
    const int node = node_of_[ranks[i]];
    if (i > 0 && node == node_of_[ranks[i - 1]]) {
      ++runs.back();
      continue;
    }
    if (seen[node]) {
      return absl::FailedPreconditionError(absl::StrCat(
          "ranks ", absl::StrJoin(ranks, ","), " leave node ", node,
          " and come back to it; map ranks to nodes in consecutive runs"));
    }
    seen[node] = true;
    runs.push_back(1);
  }
  for (int run : runs) {
    if (run != runs[0]) {
      return absl::FailedPreconditionError(
          absl::StrCat("ranks ", absl::StrJoin(ranks, ","),
                       " lie on their nodes in runs of ",
                       absl::StrJoin(runs, ", "), "; all must be equal"));
    }
  }
  return NodeShape{static_cast<int>(runs.size()), runs[0]};
}

std::string Topology::ToString() const {
  std::vector<std::string> nodes;
  for (const std::vector<int>& ranks : ranks_on_) {
    nodes.push_back(FormatRanks(ranks));
  }
  return absl::StrCat(num_nodes(), num_nodes() == 1 ? " node: " : " nodes: ",
                      absl::StrJoin(nodes, " | "));
}

}  // namespace moe
