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

// The all-to-all of DeepSpeed-MoE for latency-bound exchanges, among p = N x G
// ranks on N nodes of G: rows first go to the rank of this node that has the
// destination's local rank, then to the destination's node. (G - 1) + (N - 1)
// messages a rank instead of p - 1; each row may move twice, the second time in
// messages G times as large between nodes.

// One rank's two groups; its rank in the exchange is cross->rank() * G +
// node->rank(). Borrowed.
struct HierarchicalGroups {
  Communicator* node = nullptr;   // [G] same node
  Communicator* cross = nullptr;  // [N] same local rank
};

struct HierarchicalAllToAllVPlan {
  AllToAllVPlan rows;  // [p], as of the flat exchange
  // [G, N]: rows of rank g of this node for node n, that pass through here.
  std::vector<int64_t> transit_rows;
};

// (G - 1) + (N - 1) small messages. Blocks. send_rows: [N * G].
absl::StatusOr<HierarchicalAllToAllVPlan> PlanHierarchicalAllToAllV(
    const HierarchicalGroups& groups, absl::Span<const int64_t> send_rows);

// The same without blocking: fills the other counts of the plan from
// plan.rows.send_rows, as BeginPlanAllToAllV does.
absl::StatusOr<std::unique_ptr<PendingOperation>>
BeginPlanHierarchicalAllToAllV(const HierarchicalGroups& groups,
                               HierarchicalAllToAllVPlan& plan);

// Rows on their way; both grow to what an exchange needs. Borrowed by one
// exchange at a time.
struct HierarchicalScratch {
  Tensor first;   // the most of send_rows and of transit_rows
  Tensor second;  // transit_rows
};

// As BeginAllToAllV with the same send and receive orders:
//   transform [dst_node][dst_local] -> [dst_local][dst_node], exchange in the
//   node, transform [src_local][dst_node] -> [dst_node][src_local], exchange
//   across nodes. The order arrived in is that of the source ranks.
// One such operation at a time on the same groups. The second exchange starts
// in Poll or Wait.
absl::StatusOr<std::unique_ptr<PendingOperation>> BeginHierarchicalAllToAllV(
    const HierarchicalGroups& groups, const HierarchicalAllToAllVPlan& plan,
    const TensorView& send, const TensorView& receive,
    HierarchicalScratch& scratch, Stream& stream);

// The return under the same plan, across nodes first:
//   send    [sum(receive_rows), width], grouped by source rank
//   receive [sum(send_rows), width], grouped by destination rank
absl::StatusOr<std::unique_ptr<PendingOperation>> BeginHierarchicalReturn(
    const HierarchicalGroups& groups, const HierarchicalAllToAllVPlan& plan,
    const TensorView& send, const TensorView& receive,
    HierarchicalScratch& scratch, Stream& stream);

}  // namespace moe
