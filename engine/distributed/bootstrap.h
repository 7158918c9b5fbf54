#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "comm/topology.h"
#include "comm/world.h"
#include "engine/distributed/bootstrap_info.h"

namespace moe {

// Exchanges and compares what all ranks of `world` start with. `info` is this
// rank's part, or the error that keeps it from starting. Returns the topology
// that the job uses: that of the machines, or BootstrapInfo::node_shape if it
// is set. On an error every rank returns the first problem found, with the
// ranks' numbers and hosts. Collective.
absl::StatusOr<Topology> Bootstrap(World& world, const std::string& host,
                                   const absl::StatusOr<BootstrapInfo>& info);

}  // namespace moe
