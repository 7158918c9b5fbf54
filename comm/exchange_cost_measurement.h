#pragma once

#include "absl/status/statusor.h"
#include "comm/communicator.h"
#include "comm/exchange_cost_model.h"
#include "comm/topology.h"

namespace moe {

// Measures the links of a group by exchanges of 64 bytes in one message and in
// many (one to each peer, 8 at least), and of 256 KiB with each peer, in rows
// of five; the median of `repetitions`, the worst of the ranks, equal on all.
// In a group of one rank: no cost, infinite bandwidth. Collective. Takes some
// milliseconds; for start-up.
absl::StatusOr<LinkCost> MeasureLinkCost(Communicator& group,
                                         int repetitions = 5);

// All that PredictExchange needs, equal on all ranks: links in the nodes of
// `topology`, links between the ranks at the same place in their nodes, and
// copying; the worst of the world. Where no two ranks share a node, or all do,
// both kinds of link cost what the other does. The imbalance is 1. Collective;
// makes two groups of `world` for the time being.
absl::StatusOr<ExchangeCosts> MeasureExchangeCosts(Communicator& world,
                                                   const Topology& topology,
                                                   int repetitions = 5);

// Bytes per second that this rank copies (read + written), over 4 MiB.
double MeasureCopyBandwidth();

}  // namespace moe
