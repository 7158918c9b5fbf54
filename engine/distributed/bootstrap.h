#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "comm/topology.h"
#include "comm/world.h"
#include "engine/distributed/bootstrap_info.h"

namespace moe {

// The first words of the ranks of `world` to each other: compares what all of
// them start with, of which `facts` are this rank's, or why it cannot start.
// Returns the nodes that the job is to see: those there are, or what
// BootstrapInfo::node_shape pretends. The first problem found comes back on every
// rank, with the ranks' numbers and hosts. Collective.
absl::StatusOr<Topology> Bootstrap(World& world, const std::string& host,
                                   const absl::StatusOr<BootstrapInfo>& facts);

}  // namespace moe
