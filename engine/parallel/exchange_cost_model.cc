#include "engine/parallel/exchange_cost_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace moe {
namespace {

// One direction of something, as far as one rank sends.
struct Cost {
  absl::Duration latency;
  absl::Duration transfer;
  int64_t messages = 0;
  double bytes = 0;
};

absl::Duration TransferTime(const LinkCost& link, double bytes) {
  if (bytes <= 0) return absl::ZeroDuration();
  return absl::Seconds(bytes / link.bytes_per_second);
}

// `near` peers in the node, `far` elsewhere, `bytes` to each on average. Where
// `rows` rows fall on these and the rank itself by chance, some peers get none
// and no message.
Cost ExchangeCost(const ExchangeCosts& costs, int near, int far, double bytes,
                  double rows = std::numeric_limits<double>::infinity()) {
  Cost cost;
  if (near + far == 0) return cost;
  const double share = 1 - std::pow(1 - 1.0 / (near + far + 1), rows);
  cost.messages =
      static_cast<int64_t>(std::ceil(std::min<double>(near + far, rows)));
  cost.bytes = bytes * (near + far);
  cost.latency = std::max(near > 0 ? costs.in_node.base : absl::ZeroDuration(),
                          far > 0 ? costs.across.base : absl::ZeroDuration()) +
                 share * near * costs.in_node.per_message +
                 share * far * costs.across.per_message;
  cost.transfer = std::max(TransferTime(costs.in_node, near * bytes),
                           TransferTime(costs.across, far * bytes));
  return cost;
}

// Of a group's members that are `stride` ranks apart, those in one node.
int MembersInNode(const ExchangeShape& shape, int stride, int size) {
  return std::min(size, std::max(1, shape.nodes.ranks_per_node / stride));
}

void Add(const Cost& cost, ExchangePrediction& sum) {
  sum.time += cost.latency + cost.transfer;
  sum.messages += cost.messages;
  sum.bytes += cost.bytes;
}

void AddCounts(const Cost& cost, ExchangePrediction& sum) {
  sum.time += cost.latency;
  sum.messages += cost.messages;
}

// The all-gather of `bytes` in all over a run of ranks.
Cost GatherCost(const ExchangeCosts& costs, const ExchangeShape& shape,
                int stride, int size, double bytes) {
  const int in_node = MembersInNode(shape, stride, size);
  return ExchangeCost(costs, in_node - 1, size - in_node, bytes / size);
}

// Up to so many bytes all ranks send all they have to all: see
// PointToPointCommunicator.
constexpr double kOneRoundBytes = 16 << 10;

}  // namespace

absl::Duration PredictMessages(const ExchangeCosts& costs, int near, int far,
                               double bytes) {
  const Cost cost = ExchangeCost(costs, near, far, bytes);
  return cost.latency + cost.transfer;
}

absl::Duration PredictAllReduce(const ExchangeCosts& costs, int near, int far,
                                double bytes) {
  const int size = 1 + near + far;
  if (size <= 2 || bytes <= kOneRoundBytes) {
    return PredictMessages(costs, near, far, bytes);
  }
  return 2 * PredictMessages(costs, near, far, bytes / size);
}

absl::Duration PredictAllGather(const ExchangeCosts& costs, int near, int far,
                                double bytes) {
  return PredictMessages(costs, near, far, bytes / (1 + near + far));
}

bool ExchangeKindApplies(ExchangeKind kind, const ExchangeShape& shape) {
  switch (kind) {
    case ExchangeKind::kHierarchical:
      return shape.nodes.num_nodes > 1 && shape.nodes.ranks_per_node > 1 &&
             shape.replication == 1;
    case ExchangeKind::kCoordinated:
      return shape.replication > 1;
    case ExchangeKind::kFlat:
    case ExchangeKind::kReplicated:
      return true;
  }
  return false;
}

ExchangePrediction PredictExchange(ExchangeKind kind,
                                   const ExchangeCosts& costs,
                                   const ExchangeShape& shape,
                                   const ExchangeLoad& load) {
  const int p = shape.num_ranks(), nodes = shape.nodes.num_nodes;
  const int local_ranks = shape.nodes.ranks_per_node,
            replicas = shape.replication;
  const int groups = shape.num_groups();
  const double rows = static_cast<double>(load.tokens * load.top_k);
  const double tokens_bytes = static_cast<double>(load.tokens) * load.row_bytes;
  const double result_bytes = rows * load.row_bytes;
  // What one rank routes, with the rank that gets most deciding the time.
  const double routed = result_bytes / replicas * costs.imbalance;

  ExchangePrediction sum;
  sum.kind = kind;
  // Row counts go to all peers, rows to those that get some.
  const auto there_and_back = [&](int near, int far, double bytes,
                                  double num_rows) {
    AddCounts(ExchangeCost(costs, near, far, bytes), sum);
    const Cost cost = ExchangeCost(costs, near, far, bytes, num_rows);
    Add(cost, sum);
    Add(cost, sum);
  };
  switch (kind) {
    case ExchangeKind::kFlat:
      there_and_back(local_ranks - 1, p - local_ranks, routed / p,
                     rows / replicas);
      break;
    case ExchangeKind::kHierarchical: {
      there_and_back(local_ranks - 1, 0, routed / local_ranks, rows);
      // Rows of the whole node.
      there_and_back(0, nodes - 1, routed / nodes, rows * local_ranks);
      // Two transforms each way, each reads and writes all rows.
      sum.time +=
          absl::Seconds(2 * 2 * 2 * routed / costs.copy_bytes_per_second);
      break;
    }
    case ExchangeKind::kCoordinated: {
      const int in_node = MembersInNode(shape, replicas, groups);
      there_and_back(in_node - 1, groups - in_node, routed / groups,
                     rows / replicas);
      break;
    }
    case ExchangeKind::kReplicated: {
      if (groups > 1) {
        Add(GatherCost(costs, shape, replicas, groups, groups * tokens_bytes),
            sum);
      }
      // Results go to the ranks that have their tokens.
      Add(ExchangeCost(costs, local_ranks - 1, p - local_ranks,
                       result_bytes * costs.imbalance / p, rows),
          sum);
      return sum;
    }
  }
  if (replicas > 1)
    Add(GatherCost(costs, shape, 1, replicas, result_bytes), sum);
  return sum;
}

}  // namespace moe
