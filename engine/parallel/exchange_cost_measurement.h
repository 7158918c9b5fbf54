#pragma once

#include "absl/status/statusor.h"
#include "comm/host_communicator.h"
#include "comm/topology.h"
#include "engine/parallel/exchange_cost_model.h"

namespace moe {

// Measures the links of a group by exchanges of 64 bytes with one other rank
// and with all (of two ranks: eight messages), and of 256 KiB with all, in
// rows; the median of `repetitions`, the worst of the ranks, equal on all. In a
// group of one rank: no cost, infinite bandwidth. Collective. Takes some
// milliseconds; for start-up.
absl::StatusOr<LinkCost> MeasureLinkCost(HostCommunicator& group,
                                         int repetitions = 7);

// All that PredictExchange needs, equal on all ranks: links in the nodes of
// `topology`, links between nodes, and copying; the worst of the world. As in
// exchanges of tokens, all ranks send at once: in the node 64 bytes to one rank
// and to all, and 256 KiB to all; between nodes 64 bytes to one rank and to all
// of other nodes, and 256 KiB to those of the same local rank. "All" are
// about 32: of more ranks or nodes, those next to the own one. Where no two
// ranks share a node, or all do, both kinds of link cost what the other does.
// The imbalance is 1. Collective; about two hundred exchanges.
absl::StatusOr<ExchangeCosts> MeasureExchangeCosts(HostCommunicator& world,
                                                   const Topology& topology,
                                                   int repetitions = 7);

// Bytes per second that this rank copies (read + written), over 4 MiB.
double MeasureCopyBandwidth();

}  // namespace moe
