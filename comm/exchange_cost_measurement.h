#pragma once

#include "absl/status/statusor.h"
#include "comm/communicator.h"
#include "comm/exchange_cost_model.h"

namespace moe {

// Measures the links of a group by exchanges of 64 bytes in one message and in
// many (one to each peer, 8 at least), and of 256 KiB with each peer; the
// median of `repetitions`, the worst of the ranks, equal on all. In a group of
// one rank: no cost, infinite bandwidth. Collective. Takes some milliseconds;
// for start-up.
absl::StatusOr<LinkCost> MeasureLinkCost(Communicator& group,
                                         int repetitions = 15);

// Bytes per second that this rank copies (read + written), over 4 MiB.
double MeasureCopyBandwidth();

}  // namespace moe
