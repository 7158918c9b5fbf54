#include "comm/collectives/all_to_all_v.h"

#include "absl/strings/str_cat.h"
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
  std::vector<SendBuffer> sends;
  std::vector<ReceiveBuffer> receives;
  for (int i = 0; i < group.size(); ++i) {
    const int to = (group.rank() + i) % group.size();
    const int from = (group.rank() + group.size() - i) % group.size();
    sends.push_back({to, &plan.send_rows[to], sizeof(int64_t)});
    receives.push_back({from, &plan.receive_rows[from], sizeof(int64_t)});
  }
  return group.BeginExchange(sends, receives, "PlanAllToAllV");
}

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginAllToAllV(
    HostCommunicator& group, const AllToAllVPlan& plan, const void* send,
    size_t row_bytes, void* receive) {
  RETURN_IF_ERROR(CheckRows(group, plan.send_rows, "AllToAllV: send_rows"));
  RETURN_IF_ERROR(
      CheckRows(group, plan.receive_rows, "AllToAllV: receive_rows"));
  const std::vector<int64_t> send_offsets = RowOffsets(plan.send_rows);
  const std::vector<int64_t> receive_offsets = RowOffsets(plan.receive_rows);
  std::vector<SendBuffer> sends;
  std::vector<ReceiveBuffer> receives;
  // From the next rank on, or all would send to rank 0 first.
  for (int i = 0; i < group.size(); ++i) {
    const int to = (group.rank() + i) % group.size();
    const int from = (group.rank() + group.size() - i) % group.size();
    sends.push_back(
        {to, static_cast<const std::byte*>(send) + send_offsets[to] * row_bytes,
         static_cast<size_t>(plan.send_rows[to]) * row_bytes});
    receives.push_back(
        {from,
         static_cast<std::byte*>(receive) + receive_offsets[from] * row_bytes,
         static_cast<size_t>(plan.receive_rows[from]) * row_bytes});
  }
  return group.BeginExchange(sends, receives, "AllToAllV");
}

absl::Status AllToAllV(HostCommunicator& group, const AllToAllVPlan& plan,
                       const void* send, size_t row_bytes, void* receive) {
  ASSIGN_OR_RETURN(std::unique_ptr<PendingOperation> pending,
                   BeginAllToAllV(group, plan, send, row_bytes, receive));
  return pending->Wait();
}

}  // namespace moe
