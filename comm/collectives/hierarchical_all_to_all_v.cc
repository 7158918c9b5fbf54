#include "comm/collectives/hierarchical_all_to_all_v.h"

#include <deque>
#include <utility>

#include "absl/strings/str_cat.h"
#include "comm/collectives/exchange_counts.h"
#include "comm/collectives/phased_operation.h"
#include "comm/collectives/row_blocks.h"
#include "comm/collectives/scratch_rows.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// What an operation keeps for its phases.
struct State {
  HierarchicalGroups groups;
  HierarchicalAllToAllVPlan plan;
  TensorView send;
  TensorView receive;
  HierarchicalScratch* scratch;
  Stream* stream;

  int num_local_ranks() const { return groups.node->size(); }
  int num_nodes() const { return groups.cross->size(); }
  int64_t transit() const { return TotalRows(plan.transit_rows); }
  // The first rows of the scratch tensors.
  absl::StatusOr<TensorView> First(int64_t rows) const {
    return ScratchRows(scratch->first, rows, send, *stream);
  }
  absl::StatusOr<TensorView> Second(int64_t rows) const {
    return ScratchRows(scratch->second, rows, send, *stream);
  }
};

// `sent` and `received`: of the direction.
absl::Status Check(const HierarchicalGroups& groups,
                   const HierarchicalAllToAllVPlan& plan,
                   const TensorView& send, absl::Span<const int64_t> sent,
                   const TensorView& receive,
                   absl::Span<const int64_t> received) {
  const size_t size = groups.node->size() * groups.cross->size();
  if (plan.rows.send_rows.size() != size ||
      plan.rows.receive_rows.size() != size ||
      plan.transit_rows.size() != size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "hierarchical AllToAllV: the plan has ", plan.rows.send_rows.size(),
        " ranks, ", groups.cross->Describe(), " and ", groups.node->Describe(),
        " make ", size));
  }
  constexpr char kOperation[] = "hierarchical AllToAllV";
  RETURN_IF_ERROR(CheckShape(*groups.node, send, TotalRows(sent), kOperation));
  return CheckShape(*groups.node, receive, TotalRows(received), kOperation);
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
  const int local_ranks = groups.node->size(), nodes = groups.cross->size();
  const size_t size = static_cast<size_t>(local_ranks) * nodes;
  if (plan.rows.send_rows.size() != size) {
    return absl::InvalidArgumentError(absl::StrCat(
        "PlanHierarchicalAllToAllV: send_rows has ", plan.rows.send_rows.size(),
        " entries; ", nodes, " nodes x ", local_ranks, " ranks need ", size));
  }
  plan.rows.receive_rows.assign(size, 0);
  plan.transit_rows.assign(size, 0);
  const auto in_node = [groups, &plan, local_ranks, nodes] {
    // To place g of this node: the rows for each node's rank g.
    return BeginExchangeCounts(
        groups.node->host(),
        TransposeRows(plan.rows.send_rows, nodes, local_ranks),
        absl::MakeSpan(plan.transit_rows), "PlanHierarchicalAllToAllV");
  };
  const auto across = [groups, &plan, local_ranks, nodes] {
    return BeginExchangeCounts(
        groups.cross->host(),
        TransposeRows(plan.transit_rows, local_ranks, nodes),
        absl::MakeSpan(plan.rows.receive_rows), "PlanHierarchicalAllToAllV");
  };
  return PhasedOperation::Begin({in_node, across});
}

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginHierarchicalAllToAllV(
    const HierarchicalGroups& groups, const HierarchicalAllToAllVPlan& plan,
    const TensorView& send, const TensorView& receive,
    HierarchicalScratch& scratch, Stream& stream) {
  RETURN_IF_ERROR(Check(groups, plan, send, plan.rows.send_rows, receive,
                        plan.rows.receive_rows));
  // Shared by the phases below, which std::function copies.
  auto state = std::make_shared<State>(
      State{groups, plan, send, receive, &scratch, &stream});
  const auto in_node =
      [state]() -> absl::StatusOr<std::unique_ptr<PendingOperation>> {
    const HierarchicalAllToAllVPlan& plan = state->plan;
    const int local_ranks = state->num_local_ranks(),
              nodes = state->num_nodes();
    ASSIGN_OR_RETURN(const TensorView ordered,
                     state->First(TotalRows(plan.rows.send_rows)));
    ASSIGN_OR_RETURN(const TensorView received,
                     state->Second(state->transit()));
    RETURN_IF_ERROR(TransposeBlocks(state->send, plan.rows.send_rows, nodes,
                                    local_ranks, ordered, *state->stream));
    return BeginAllToAllV(
        *state->groups.node,
        PeerPlan(TransposeRows(plan.rows.send_rows, nodes, local_ranks), nodes,
                 plan.transit_rows, nodes, local_ranks),
        ordered, received, *state->stream);
  };
  const auto across =
      [state]() -> absl::StatusOr<std::unique_ptr<PendingOperation>> {
    const HierarchicalAllToAllVPlan& plan = state->plan;
    const int local_ranks = state->num_local_ranks(),
              nodes = state->num_nodes();
    ASSIGN_OR_RETURN(const TensorView received,
                     state->Second(state->transit()));
    ASSIGN_OR_RETURN(const TensorView ordered, state->First(state->transit()));
    RETURN_IF_ERROR(TransposeBlocks(received, plan.transit_rows, local_ranks,
                                    nodes, ordered, *state->stream));
    return BeginAllToAllV(
        *state->groups.cross,
        PeerPlan(TransposeRows(plan.transit_rows, local_ranks, nodes),
                 local_ranks, plan.rows.receive_rows, local_ranks, nodes),
        ordered, state->receive, *state->stream);
  };
  return PhasedOperation::Begin({in_node, across});
}

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginHierarchicalReturn(
    const HierarchicalGroups& groups, const HierarchicalAllToAllVPlan& plan,
    const TensorView& send, const TensorView& receive,
    HierarchicalScratch& scratch, Stream& stream) {
  RETURN_IF_ERROR(Check(groups, plan, send, plan.rows.receive_rows, receive,
                        plan.rows.send_rows));
  // Shared by the phases below, which std::function copies.
  auto state = std::make_shared<State>(
      State{groups, plan, send, receive, &scratch, &stream});
  const auto across =
      [state]() -> absl::StatusOr<std::unique_ptr<PendingOperation>> {
    const HierarchicalAllToAllVPlan& plan = state->plan;
    const int local_ranks = state->num_local_ranks(),
              nodes = state->num_nodes();
    ASSIGN_OR_RETURN(const TensorView received, state->First(state->transit()));
    return BeginAllToAllV(
        *state->groups.cross,
        PeerPlan(plan.rows.receive_rows, local_ranks,
                 TransposeRows(plan.transit_rows, local_ranks, nodes),
                 local_ranks, nodes),
        state->send, received, *state->stream);
  };
  const auto in_node =
      [state]() -> absl::StatusOr<std::unique_ptr<PendingOperation>> {
    const HierarchicalAllToAllVPlan& plan = state->plan;
    const int local_ranks = state->num_local_ranks(),
              nodes = state->num_nodes();
    ASSIGN_OR_RETURN(const TensorView received, state->First(state->transit()));
    ASSIGN_OR_RETURN(const TensorView ordered, state->Second(state->transit()));
    RETURN_IF_ERROR(TransposeBlocks(
        received, TransposeRows(plan.transit_rows, local_ranks, nodes), nodes,
        local_ranks, ordered, *state->stream));
    ASSIGN_OR_RETURN(const TensorView results,
                     state->First(TotalRows(plan.rows.send_rows)));
    return BeginAllToAllV(
        *state->groups.node,
        PeerPlan(plan.transit_rows, nodes,
                 TransposeRows(plan.rows.send_rows, nodes, local_ranks), nodes,
                 local_ranks),
        ordered, results, *state->stream);
  };
  const auto order =
      [state]() -> absl::StatusOr<std::unique_ptr<PendingOperation>> {
    const int local_ranks = state->num_local_ranks(),
              nodes = state->num_nodes();
    ASSIGN_OR_RETURN(const TensorView results,
                     state->First(TotalRows(state->plan.rows.send_rows)));
    RETURN_IF_ERROR(TransposeBlocks(
        results, TransposeRows(state->plan.rows.send_rows, nodes, local_ranks),
        local_ranks, nodes, state->receive, *state->stream));
    return nullptr;
  };
  return PhasedOperation::Begin({across, in_node, order});
}

}  // namespace moe
