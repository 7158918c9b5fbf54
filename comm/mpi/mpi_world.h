#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "comm/host_communicator.h"
#include "comm/world.h"

namespace moe {

// The processes that an MPI launcher has started; initialises MPI, at most once
// in a process's life. Collective, and not bounded in time: MPI's own start
// waits for ever for a peer that does not come. `options` are those of
// communicator().
absl::StatusOr<std::unique_ptr<World>> JoinMpiWorld(
    int* argc, char*** argv, const CommunicatorOptions& options);

}  // namespace moe
