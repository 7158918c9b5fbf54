#pragma once

#include <mpi.h>

#include "absl/status/statusor.h"
#include "comm/host_communicator.h"
#include "comm/topology.h"

namespace moe {

// The topology of `world`, whose ranks are those of `comm`: ranks that can
// share memory (MPI_COMM_TYPE_SHARED) are one node. Collective; not bounded in
// time once all ranks are here.
absl::StatusOr<Topology> DetectMpiTopology(MPI_Comm comm,
                                           HostCommunicator& world);

}  // namespace moe
