#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "comm/topology.h"
#include "engine/parallel/exchange_kind.h"

namespace moe {

// What messages cost on one kind of link.
struct LinkCost {
  absl::Duration base;          // a whole exchange, however many messages
  absl::Duration per_message;   // each further message that a rank sends
  double bytes_per_second = 0;  // that one rank sends, while all do
};

// Measured (exchange_cost_measurement.h) or configured; equal on all ranks.
struct ExchangeCosts {
  LinkCost in_node;
  LinkCost across;                   // between nodes
  double copy_bytes_per_second = 0;  // of a layout transform
  // Largest over mean rows received by a rank: routing is never even.
  double imbalance = 1.0;
};

// The group that exchanges: p = num_nodes * ranks_per_node ranks, each run of
// `replication` of which holds the same tokens.
struct ExchangeShape {
  NodeShape nodes;
  int replication = 1;

  int num_ranks() const { return nodes.num_nodes * nodes.ranks_per_node; }
  int num_groups() const { return num_ranks() / replication; }
};

// One MoE layer in one step: `tokens` on the ranks that have the most.
struct ExchangeLoad {
  int64_t tokens = 0;
  int64_t top_k = 1;
  int64_t row_bytes = 0;
};

struct ExchangePrediction {
  ExchangeKind kind = ExchangeKind::kFlat;
  // There and back, with the exchange of the row counts.
  absl::Duration time;
  int64_t messages = 0;  // that one rank sends, at most
  double bytes = 0;      // that one rank sends
};

// Predicts one kind. With p ranks on N nodes of G, L replicas, D = p / L and
// m = tokens * top_k * row_bytes, for each direction:
//   flat          base + (p - 1) messages + (m / L) / bandwidth; the links in
//                 the node and between nodes work at the same time
//   hierarchical  two exchanges, of G and of N ranks, and two transforms
//   coordinated   flat among D ranks
// and, for L > 1, an all-gather of m over the replicas after the return. Row
// counts go ahead in messages of few bytes. Rows fall on ranks by chance: few
// of them make fewer messages than there are peers.
//   replicated    an all-gather of the tokens over the D groups (none if D is
//                 1), then each rank's results to those that have the tokens, m
//                 / p to each; no row counts
// A pure function.
ExchangePrediction PredictExchange(ExchangeKind kind,
                                   const ExchangeCosts& costs,
                                   const ExchangeShape& shape,
                                   const ExchangeLoad& load);

// One round of messages: every rank sends `bytes` to each of `near` peers in
// its node and to each of `far` peers elsewhere, all at once.
absl::Duration PredictMessages(const ExchangeCosts& costs, int near, int far,
                               double bytes);

// HostCommunicator::AllReduce (or AllGather of `bytes` in all) as the back ends
// do it, among 1 + near + far ranks.
absl::Duration PredictAllReduce(const ExchangeCosts& costs, int near, int far,
                                double bytes);
absl::Duration PredictAllGather(const ExchangeCosts& costs, int near, int far,
                                double bytes);

// Whether the kind differs from a flat exchange in this shape: hierarchical
// needs several nodes with several ranks and no replicas, coordinated replicas.
bool ExchangeKindApplies(ExchangeKind kind, const ExchangeShape& shape);

}  // namespace moe
