#include "tests/support/mpi_ranks.h"

#include <gtest/gtest.h>
#include <mpi.h>

#include "comm/mpi/mpi_communicator.h"

namespace moe {

void MpiRanks::Run(const CommunicatorOptions& options, const Body& body) {
  auto group = MakeMpiCommunicator(MPI_COMM_WORLD, "world", options);
  ASSERT_TRUE(group.ok()) << group.status();
  body(**group);
  // Otherwise a rank that failed could begin the next test while others wait
  // here.
  MPI_Barrier(MPI_COMM_WORLD);
}

int MpiRanks::size() const {
  int size = 0;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  return size;
}

}  // namespace moe
