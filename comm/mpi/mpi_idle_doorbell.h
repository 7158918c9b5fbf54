#pragma once

#include <mpi.h>

#include <memory>

#include "absl/status/statusor.h"
#include "comm/host_communicator.h"
#include "comm/idle_doorbell.h"
#include "comm/topology.h"

namespace moe {

// For the ranks of `comm`, which are those of `world`. On one node they sleep
// on a futex in an MPI shared-memory window. The lowest rank of every other
// node cannot: it polls for rank 0's message with growing pauses (1 ms at most)
// and then rings its node's. `topology` may show more nodes than there are, not
// fewer: ranks of one of its nodes must share memory, or kFailedPrecondition.
// Collective; destroying it is collective too, and skipped if `world` failed.
// `world` must outlive it.
absl::StatusOr<std::unique_ptr<IdleDoorbell>> MakeMpiDoorbell(
    MPI_Comm comm, HostCommunicator& world, const Topology& topology);

}  // namespace moe
