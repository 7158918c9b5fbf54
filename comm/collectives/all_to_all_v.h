#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/communicator.h"
#include "comm/host_communicator.h"
#include "comm/pending_operation.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// How many rows go where in an exchange among p ranks.
struct AllToAllVPlan {
  std::vector<int64_t> send_rows;     // [p] by destination
  std::vector<int64_t> receive_rows;  // [p] by source

  // The plan of the return: what was received goes to where it came from.
  AllToAllVPlan Reversed() const { return {receive_rows, send_rows}; }
};

// Tells every rank how many rows it will get from this one: size - 1 messages
// of 8 bytes. Blocks.
absl::StatusOr<AllToAllVPlan> PlanAllToAllV(
    HostCommunicator& group, absl::Span<const int64_t> send_rows);

// The same without blocking: fills plan.receive_rows from plan.send_rows. The
// plan must stay where it is until the handle is done; counts that make no
// sense are found by the exchange that uses them.
absl::StatusOr<std::unique_ptr<PendingOperation>> BeginPlanAllToAllV(
    HostCommunicator& group, AllToAllVPlan& plan);

// The flat exchange: size - 1 messages, one to each rank with rows for it.
//   send    [sum(send_rows), width], grouped by destination rank
//   receive [sum(receive_rows), width], comes in order of the source ranks,
//           within each in its order there; must not overlap `send`
// Every kind of exchange delivers rows in this order, so that the kind changes
// no result. Tensors must live until the handle is done; the plan need not.
absl::StatusOr<std::unique_ptr<PendingOperation>> BeginAllToAllV(
    Communicator& group, const AllToAllVPlan& plan, const TensorView& send,
    const TensorView& receive, Stream& stream);

absl::Status AllToAllV(Communicator& group, const AllToAllVPlan& plan,
                       const TensorView& send, const TensorView& receive,
                       Stream& stream);

// kInvalidArgument, starting with `what`, unless rows has one entry, not
// negative, for each rank of the group.
absl::Status CheckRows(const HostCommunicator& group,
                       absl::Span<const int64_t> rows, const char* what);
inline absl::Status CheckRows(const Communicator& group,
                              absl::Span<const int64_t> rows,
                              const char* what) {
  return CheckRows(group.host(), rows, what);
}

// kInvalidArgument, starting with `what`, unless the tensor is [rows, any].
absl::Status CheckShape(const Communicator& group, const TensorView& tensor,
                        int64_t rows, const char* what);

}  // namespace moe
