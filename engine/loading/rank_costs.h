#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/host_communicator.h"
#include "comm/topology.h"
#include "engine/parallel/parallel_cost_options.h"
#include "kernels/core/dtype.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// The costs of the machines and their origin, for the log.
struct ResolvedCosts {
  MachineCosts costs;    // Rounded, unless configured
  std::string measured;  // "links, copying, reading, computing", or "none"
  absl::Duration time;   // of measuring
};

// Takes the configured costs and measures the others: links and copying
// (MeasureExchangeCosts), and the rates at which ranks read memory on `threads`
// and compute with weights of `dtype` on `stream` while all ranks do so.
// Returns the rates of the slowest rank. Collective over `all`, on which
// `configured` must be equal; the result is equal on all ranks.
absl::StatusOr<ResolvedCosts> ResolveCosts(const CostOptions& configured,
                                           HostCommunicator& all,
                                           const Topology& topology,
                                           DType dtype, ThreadPool& threads,
                                           Stream& stream);

}  // namespace moe
