#include "comm/collectives/hierarchical_all_to_all_v.h"

#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "comm/collectives/phased_operation.h"
#include "comm/collectives/row_blocks.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

using Buffer = std::unique_ptr<std::byte[]>;

Buffer NewRows(int64_t rows, size_t row_bytes) {
  return Buffer(new std::byte[rows * row_bytes]);  // not zeroed
}

// What an operation keeps for its phases.
struct State {
  HierarchicalGroups groups;
  HierarchicalAllToAllVPlan plan;
  const void* send;
  void* receive;
  size_t row_bytes;
  Buffer first, second;

  int num_places() const { return groups.node->size(); }
  int num_nodes() const { return groups.cross->size(); }
};

absl::Status Check(const HierarchicalGroups& groups,
                   const HierarchicalAllToAllVPlan& plan) {
  const size_t size = groups.node->size() * groups.cross->size();
  if (plan.rows.send_rows.size() != size ||
      plan.rows.receive_rows.size() != size ||
      plan.transit_rows.size() != size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "hierarchical AllToAllV: the plan has ", plan.rows.send_rows.size(),
        " ranks, ", groups.cross->Describe(), " and ", groups.node->Describe(),
        " make ", size));
  }
  return absl::OkStatus();
}

// An exchange in which `in` [num_outer][num_inner] is ordered by the peer.
AllToAllVPlan PeerPlan(absl::Span<const int64_t> send, int send_inner,
                       absl::Span<const int64_t> receive, int receive_inner,
                       int num_peers) {
  return {SumInner(send, num_peers, send_inner),
          SumInner(receive, num_peers, receive_inner)};
}

}  // namespace

absl::StatusOr<HierarchicalAllToAllVPlan> PlanHierarchicalAllToAllV(
    const HierarchicalGroups& groups, absl::Span<const int64_t> send_rows) {
  HierarchicalAllToAllVPlan plan;
  plan.rows.send_rows.assign(send_rows.begin(), send_rows.end());
  ASSIGN_OR_RETURN(std::unique_ptr<PendingOperation> pending,
                   BeginPlanHierarchicalAllToAllV(groups, plan));
  RETURN_IF_ERROR(pending->Wait());
  return plan;
}

absl::StatusOr<std::unique_ptr<PendingOperation>>
BeginPlanHierarchicalAllToAllV(const HierarchicalGroups& groups,
                               HierarchicalAllToAllVPlan& plan) {
  const int places = groups.node->size(), nodes = groups.cross->size();
  const size_t size = static_cast<size_t>(places) * nodes;
  if (plan.rows.send_rows.size() != size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "PlanHierarchicalAllToAllV: send_rows has ", plan.rows.send_rows.size(),
        " entries; ", nodes, " nodes x ", places, " ranks need ", size));
  }
  plan.rows.receive_rows.assign(size, 0);
  plan.transit_rows.assign(size, 0);
  // Counts on their way out; shared by the phases, which std::function copies.
  auto sent = std::make_shared<std::vector<int64_t>>();
  const auto in_node = [groups, &plan, sent, places, nodes] {
    // To place g of this node: the rows for each node's rank g.
    *sent = TransposeRows(plan.rows.send_rows, nodes, places);
    const AllToAllVPlan counts = {std::vector<int64_t>(places, nodes),
                                  std::vector<int64_t>(places, nodes)};
    return BeginAllToAllV(*groups.node, counts, sent->data(), sizeof(int64_t),
                          plan.transit_rows.data());
  };
  const auto across = [groups, &plan, sent, places, nodes] {
    *sent = TransposeRows(plan.transit_rows, places, nodes);
    const AllToAllVPlan counts = {std::vector<int64_t>(nodes, places),
                                  std::vector<int64_t>(nodes, places)};
    return BeginAllToAllV(*groups.cross, counts, sent->data(), sizeof(int64_t),
                          plan.rows.receive_rows.data());
  };
  return PhasedOperation::Begin({in_node, across});
}

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginHierarchicalAllToAllV(
    const HierarchicalGroups& groups, const HierarchicalAllToAllVPlan& plan,
    const void* send, size_t row_bytes, void* receive) {
  RETURN_IF_ERROR(Check(groups, plan));
  // Shared by the phases below, which std::function copies.
  auto state = std::make_shared<State>(
      State{groups, plan, send, receive, row_bytes, nullptr, nullptr});
  const auto in_node = [state] {
    const HierarchicalAllToAllVPlan& plan = state->plan;
    const int places = state->num_places(), nodes = state->num_nodes();
    state->first = NewRows(TotalRows(plan.rows.send_rows), state->row_bytes);
    state->second = NewRows(TotalRows(plan.transit_rows), state->row_bytes);
    TransposeBlocks(state->send, plan.rows.send_rows, nodes, places,
                    state->row_bytes, state->first.get());
    return BeginAllToAllV(
        *state->groups.node,
        PeerPlan(TransposeRows(plan.rows.send_rows, nodes, places), nodes,
                 plan.transit_rows, nodes, places),
        state->first.get(), state->row_bytes, state->second.get());
  };
  const auto across = [state] {
    const HierarchicalAllToAllVPlan& plan = state->plan;
    const int places = state->num_places(), nodes = state->num_nodes();
    state->first = NewRows(TotalRows(plan.transit_rows), state->row_bytes);
    TransposeBlocks(state->second.get(), plan.transit_rows, places, nodes,
                    state->row_bytes, state->first.get());
    return BeginAllToAllV(
        *state->groups.cross,
        PeerPlan(TransposeRows(plan.transit_rows, places, nodes), places,
                 plan.rows.receive_rows, places, nodes),
        state->first.get(), state->row_bytes, state->receive);
  };
  return PhasedOperation::Begin({in_node, across});
}

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginHierarchicalReturn(
    const HierarchicalGroups& groups, const HierarchicalAllToAllVPlan& plan,
    const void* send, size_t row_bytes, void* receive) {
  RETURN_IF_ERROR(Check(groups, plan));
  // Shared by the phases below, which std::function copies.
  auto state = std::make_shared<State>(
      State{groups, plan, send, receive, row_bytes, nullptr, nullptr});
  const auto across = [state] {
    const HierarchicalAllToAllVPlan& plan = state->plan;
    const int places = state->num_places(), nodes = state->num_nodes();
    state->first = NewRows(TotalRows(plan.transit_rows), state->row_bytes);
    return BeginAllToAllV(
        *state->groups.cross,
        PeerPlan(plan.rows.receive_rows, places,
                 TransposeRows(plan.transit_rows, places, nodes), places,
                 nodes),
        state->send, state->row_bytes, state->first.get());
  };
  const auto in_node = [state] {
    const HierarchicalAllToAllVPlan& plan = state->plan;
    const int places = state->num_places(), nodes = state->num_nodes();
    state->second = NewRows(TotalRows(plan.transit_rows), state->row_bytes);
    TransposeBlocks(state->first.get(),
                    TransposeRows(plan.transit_rows, places, nodes), nodes,
                    places, state->row_bytes, state->second.get());
    state->first = NewRows(TotalRows(plan.rows.send_rows), state->row_bytes);
    return BeginAllToAllV(
        *state->groups.node,
        PeerPlan(plan.transit_rows, nodes,
                 TransposeRows(plan.rows.send_rows, nodes, places), nodes,
                 places),
        state->second.get(), state->row_bytes, state->first.get());
  };
  const auto order =
      [state]() -> absl::StatusOr<std::unique_ptr<PendingOperation>> {
    const int places = state->num_places(), nodes = state->num_nodes();
    TransposeBlocks(state->first.get(),
                    TransposeRows(state->plan.rows.send_rows, nodes, places),
                    places, nodes, state->row_bytes, state->receive);
    return nullptr;
  };
  return PhasedOperation::Begin({across, in_node, order});
}

}  // namespace moe
