#include "comm/collectives/all_to_all_v.h"

#include "absl/strings/str_cat.h"
#include "comm/collectives/exchange_counts.h"
#include "comm/collectives/row_blocks.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::Status CheckRows(const HostCommunicator& group,
                       absl::Span<const int64_t> rows, const char* what) {
  if (static_cast<int>(rows.size()) != group.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " has ", rows.size(), " entries in ",
                     group.Describe(), "; it needs one for each rank"));
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    if (rows[r] < 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          what, "[", r, "] = ", rows[r], " in ", group.Describe()));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckShape(const Communicator& group, const TensorView& tensor,
                        int64_t rows, const char* what) {
  if (tensor.rank == 2 && tensor.dims[0] == rows) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, " in ", group.Describe(), ": a tensor ",
                   tensor.ShapeString(), " for ", rows, " rows"));
}

absl::StatusOr<AllToAllVPlan> PlanAllToAllV(
    HostCommunicator& group, absl::Span<const int64_t> send_rows) {
  AllToAllVPlan plan;
  plan.send_rows.assign(send_rows.begin(), send_rows.end());
  ASSIGN_OR_RETURN(std::unique_ptr<PendingOperation> pending,
                   BeginPlanAllToAllV(group, plan));
  RETURN_IF_ERROR(pending->Wait());
  RETURN_IF_ERROR(
      CheckRows(group, plan.receive_rows, "PlanAllToAllV: received rows"));
  return plan;
}

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginPlanAllToAllV(
    HostCommunicator& group, AllToAllVPlan& plan) {
  RETURN_IF_ERROR(CheckRows(group, plan.send_rows, "PlanAllToAllV: send_rows"));
  plan.receive_rows.assign(group.size(), 0);
  return BeginExchangeCounts(group, plan.send_rows,
                             absl::MakeSpan(plan.receive_rows),
                             "PlanAllToAllV");
}

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginAllToAllV(
    Communicator& group, const AllToAllVPlan& plan, const TensorView& send,
    const TensorView& receive, Stream& stream) {
  RETURN_IF_ERROR(CheckRows(group, plan.send_rows, "AllToAllV: send_rows"));
  RETURN_IF_ERROR(
      CheckRows(group, plan.receive_rows, "AllToAllV: receive_rows"));
  const std::vector<int64_t> send_offsets = RowOffsets(plan.send_rows);
  const std::vector<int64_t> receive_offsets = RowOffsets(plan.receive_rows);
  RETURN_IF_ERROR(CheckShape(group, send, send_offsets.back(), "AllToAllV"));
  RETURN_IF_ERROR(
      CheckShape(group, receive, receive_offsets.back(), "AllToAllV"));
  std::vector<TensorMessage> sends, receives;
  // From this rank on, or all would send to rank 0 first.
  for (int i = 0; i < group.size(); ++i) {
    const int to = (group.rank() + i) % group.size();
    const int from = (group.rank() + group.size() - i) % group.size();
    sends.push_back({to, send.Rows(send_offsets[to], send_offsets[to + 1])});
    receives.push_back(
        {from, receive.Rows(receive_offsets[from], receive_offsets[from + 1])});
  }
  return group.BeginExchange(sends, receives, "AllToAllV", stream);
}

absl::Status AllToAllV(Communicator& group, const AllToAllVPlan& plan,
                       const TensorView& send, const TensorView& receive,
                       Stream& stream) {
  ASSIGN_OR_RETURN(std::unique_ptr<PendingOperation> pending,
                   BeginAllToAllV(group, plan, send, receive, stream));
  return pending->Wait();
}

}  // namespace moe
