#include "comm/collectives/coordinated_all_to_all_v.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "comm/collectives/all_gather_v.h"
#include "comm/collectives/phased_operation.h"
#include "comm/collectives/row_blocks.h"
#include "comm/collectives/scratch_rows.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// Names exchanges, which keep the pointer.
constexpr char kOperation[] = "coordinated AllToAllV";

// Of [D][L] rows by destination, those for ranks of replica `l`. [D]
std::vector<int64_t> RowsOfReplica(absl::Span<const int64_t> rows,
                                   int num_replicas, int l) {
  std::vector<int64_t> own;
  for (size_t i = l; i < rows.size(); i += num_replicas) own.push_back(rows[i]);
  return own;
}

absl::Status Check(const CoordinatedGroups& groups,
                   absl::Span<const int64_t> send_rows) {
  const size_t size = groups.replicas->size() * groups.peers->size();
  if (send_rows.size() != size) {
    return absl::InvalidArgumentError(
        absl::StrCat("coordinated AllToAllV: send_rows has ", send_rows.size(),
                     " entries; ", groups.peers->Describe(), " and ",
                     groups.replicas->Describe(), " make ", size));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CoordinatedAllToAllVPlan> PlanCoordinatedAllToAllV(
    const CoordinatedGroups& groups, absl::Span<const int64_t> send_rows) {
  CoordinatedAllToAllVPlan plan;
  plan.send_rows.assign(send_rows.begin(), send_rows.end());
  ASSIGN_OR_RETURN(std::unique_ptr<PendingOperation> pending,
                   BeginPlanCoordinatedAllToAllV(groups, plan));
  RETURN_IF_ERROR(pending->Wait());
  return plan;
}

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginPlanCoordinatedAllToAllV(
    const CoordinatedGroups& groups, CoordinatedAllToAllVPlan& plan) {
  RETURN_IF_ERROR(Check(groups, plan.send_rows));
  // Shared by the phases below, which std::function copies.
  auto own = std::make_shared<AllToAllVPlan>();
  own->send_rows = RowsOfReplica(plan.send_rows, groups.replicas->size(),
                                 groups.replicas->rank());
  const auto exchange = [groups, own] {
    return BeginPlanAllToAllV(groups.peers->host(), *own);
  };
  const auto take =
      [own, &plan]() -> absl::StatusOr<std::unique_ptr<PendingOperation>> {
    plan.receive_rows = own->receive_rows;
    return nullptr;
  };
  return PhasedOperation::Begin({exchange, take});
}

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginCoordinatedAllToAllV(
    const CoordinatedGroups& groups, const CoordinatedAllToAllVPlan& plan,
    const TensorView& send, const TensorView& receive, Stream& stream) {
  RETURN_IF_ERROR(Check(groups, plan.send_rows));
  RETURN_IF_ERROR(CheckRows(*groups.peers, plan.receive_rows,
                            "coordinated AllToAllV: receive_rows"));
  const int num_replicas = groups.replicas->size();
  const std::vector<int64_t> send_offsets = RowOffsets(plan.send_rows);
  const std::vector<int64_t> receive_offsets = RowOffsets(plan.receive_rows);
  RETURN_IF_ERROR(
      CheckShape(*groups.peers, send, send_offsets.back(), kOperation));
  RETURN_IF_ERROR(
      CheckShape(*groups.peers, receive, receive_offsets.back(), kOperation));
  std::vector<TensorMessage> sends, receives;
  const int own = groups.peers->rank(), size = groups.peers->size();
  for (int i = 0; i < size; ++i) {
    const int to = (own + i) % size, from = (own + size - i) % size;
    const int block = to * num_replicas + groups.replicas->rank();
    sends.push_back(
        {to, send.Rows(send_offsets[block], send_offsets[block + 1])});
    receives.push_back(
        {from, receive.Rows(receive_offsets[from], receive_offsets[from + 1])});
  }
  return groups.peers->BeginExchange(sends, receives, kOperation, stream);
}

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginCoordinatedReturn(
    const CoordinatedGroups& groups, const CoordinatedAllToAllVPlan& plan,
    const TensorView& send, const TensorView& receive, Tensor& scratch,
    Stream& stream) {
  RETURN_IF_ERROR(Check(groups, plan.send_rows));
  RETURN_IF_ERROR(CheckShape(*groups.peers, receive, TotalRows(plan.send_rows),
                             "coordinated AllToAllV: the return"));
  const int num_replicas = groups.replicas->size();
  const int num_peers = groups.peers->size();
  const int own = groups.replicas->rank();

  // What the phases below share, for std::function copies them.
  struct State {
    std::vector<int64_t> by_replica;    // [L][D] rows
    std::vector<int64_t> replica_rows;  // [L]
    TensorView rows;                    // [L][D] blocks
    TensorView own_rows;                // in `rows`
  };
  auto state = std::make_shared<State>();
  state->by_replica = TransposeRows(plan.send_rows, num_peers, num_replicas);
  state->replica_rows = SumInner(state->by_replica, num_replicas, num_peers);
  const std::vector<int64_t> offsets = RowOffsets(state->replica_rows);
  ASSIGN_OR_RETURN(state->rows,
                   ScratchRows(scratch, offsets.back(), receive, stream));
  state->own_rows = state->rows.Rows(offsets[own], offsets[own + 1]);

  const AllToAllVPlan own_plan = {
      plan.receive_rows, RowsOfReplica(plan.send_rows, num_replicas, own)};
  const auto exchange = [=, &stream] {
    return BeginAllToAllV(*groups.peers, own_plan, send, state->own_rows,
                          stream);
  };
  const auto gather = [=, &stream] {
    return BeginAllGatherV(*groups.replicas, state->own_rows,
                           state->replica_rows, state->rows, stream);
  };
  const auto order =
      [=, &stream]() -> absl::StatusOr<std::unique_ptr<PendingOperation>> {
    RETURN_IF_ERROR(TransposeBlocks(state->rows, state->by_replica,
                                    num_replicas, num_peers, receive, stream));
    return nullptr;
  };
  return PhasedOperation::Begin({exchange, gather, order});
}

}  // namespace moe
