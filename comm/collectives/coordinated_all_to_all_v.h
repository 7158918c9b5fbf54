#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/collectives/all_to_all_v.h"
#include "comm/communicator.h"
#include "comm/pending_operation.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// The all-to-all coordinated with tensor slicing, among p = D x L ranks where
// the L ranks of a tensor group hold the same rows: each takes only those for
// ranks with its own tensor rank, so that the exchange is among the D ranks of
// equal tensor rank, and the way back ends with an all-gather in the tensor
// group. D - 1 messages there, (D - 1) + (L - 1) back, instead of p - 1 each.
// With D = 1 nothing is sent before the experts at all: the path for tokens
// that every rank has.

// One rank's two groups; its rank in the exchange is peers->rank() * L +
// replicas->rank(). Borrowed.
struct CoordinatedGroups {
  Communicator* replicas = nullptr;  // [L] the same rows
  Communicator* peers = nullptr;     // [D] equal rank among their replicas
};

struct CoordinatedAllToAllVPlan {
  std::vector<int64_t> send_rows;     // [D * L], equal on all replicas
  std::vector<int64_t> receive_rows;  // [D] by source group
};

// D - 1 small messages. Blocks. send_rows: [D * L] by destination rank, equal
// on all replicas.
absl::StatusOr<CoordinatedAllToAllVPlan> PlanCoordinatedAllToAllV(
    const CoordinatedGroups& groups, absl::Span<const int64_t> send_rows);

// The same without blocking: fills plan.receive_rows from plan.send_rows, as
// BeginPlanAllToAllV does.
absl::StatusOr<std::unique_ptr<PendingOperation>> BeginPlanCoordinatedAllToAllV(
    const CoordinatedGroups& groups, CoordinatedAllToAllVPlan& plan);

//   send    [sum(send_rows), width], grouped by destination rank; of it, the
//           blocks for ranks with this rank's place among their replicas are
//           read
//   receive [sum(receive_rows), width], by source group; as from a flat
//           exchange in which replica l sends the l-th run of each block
absl::StatusOr<std::unique_ptr<PendingOperation>> BeginCoordinatedAllToAllV(
    const CoordinatedGroups& groups, const CoordinatedAllToAllVPlan& plan,
    const TensorView& send, const TensorView& receive, Stream& stream);

// The return under the same plan. One at a time on the same groups.
//   send    [sum(receive_rows), width], by source group
//   receive [sum(send_rows), width], grouped by destination rank, equal on all
//           replicas
//   scratch grows to as many rows as `receive`; borrowed until the handle is
//           done
absl::StatusOr<std::unique_ptr<PendingOperation>> BeginCoordinatedReturn(
    const CoordinatedGroups& groups, const CoordinatedAllToAllVPlan& plan,
    const TensorView& send, const TensorView& receive, Tensor& scratch,
    Stream& stream);

}  // namespace moe
