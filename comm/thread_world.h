#pragma once

#include <memory>
#include <vector>

#include "comm/host_communicator.h"
#include "comm/topology.h"
#include "comm/world.h"

namespace moe {

// `size` ranks that are threads of this process, or one rank that is alone in
// it. Element r is for the thread that plays rank r. They pretend to run on the
// machines of `topology`. Groups have `options`, whatever MakeGroup is given.
std::vector<std::unique_ptr<World>> MakeThreadWorlds(
    int size, const Topology& topology,
    const CommunicatorOptions& options = {});

}  // namespace moe
