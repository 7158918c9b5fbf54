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

// What the machines can do, and how it came to be known; for the log.
struct FoundCosts {
  MachineCosts costs;    // Rounded, unless configured
  std::string measured;  // "links, copying, reading, computing", or "none"
  absl::Duration time;   // that measuring took
};

// Takes what is configured and measures the rest: links and copying
// (MeasureExchangeCosts), what each rank reads from memory on `threads` and
// computes with weights of `dtype` on `stream`, all at once; of the worst rank.
// Collective over `all`, which must agree on `configured`; equal on all ranks.
absl::StatusOr<FoundCosts> FindCosts(const CostOptions& configured,
                                     HostCommunicator& all,
                                     const Topology& topology, DType dtype,
                                     ThreadPool& threads, Stream& stream);

}  // namespace moe
