#include "comm/mpi/mpi_topology.h"

#include <vector>

#include "comm/mpi/mpi_status.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<Topology> DetectMpiTopology(MPI_Comm comm,
                                           HostCommunicator& world) {
  RETURN_IF_ERROR(world.Barrier());  // bounded, unlike the calls below
  MPI_Comm node = MPI_COMM_NULL;
  RETURN_IF_ERROR(
      MpiToStatus(MPI_Comm_split_type(comm, MPI_COMM_TYPE_SHARED, world.rank(),
                                      MPI_INFO_NULL, &node),
                  "MPI_Comm_split_type by shared memory"));
  // A node goes by the rank of its first member.
  int leader = world.rank();
  const absl::Status status =
      MpiToStatus(MPI_Bcast(&leader, 1, MPI_INT, 0, node), "MPI_Bcast");
  MPI_Comm_free(&node);
  RETURN_IF_ERROR(status);
  std::vector<int> leaders(world.size());
  RETURN_IF_ERROR(world.AllGather(&leader, sizeof(leader), leaders.data()));
  return Topology::FromNodeIds(leaders);
}

}  // namespace moe
