#pragma once

#include <mpi.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "comm/host_communicator.h"

namespace moe {

// A group over MPI, one process a rank. Messages are MPI's point-to-point ones,
// on a duplicate of `parent` that belongs to the group; waiting polls, yields
// the core and, when a wait has become long, sleeps between polls: MPI has no
// wait with a deadline. Collective over `parent`, and not bounded in time: use
// it at start-up. Requires an initialised MPI with MPI_THREAD_MULTIPLE (see
// MpiRuntime) for as long as the group lives.
absl::StatusOr<std::unique_ptr<HostCommunicator>> MakeMpiCommunicator(
    MPI_Comm parent, const std::string& name,
    const CommunicatorOptions& options = {});

}  // namespace moe
