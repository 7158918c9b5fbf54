#pragma once

#include "tests/support/ranks.h"

namespace moe {

// Ranks that are processes of mpirun: each process runs `body` once, as its
// rank, in a new duplicate of MPI_COMM_WORLD. Needs mpi_main.
class MpiRanks : public RankRunner {
 public:
  void Run(const CommunicatorOptions& options, const Body& body) override;
  int size() const override;
};

}  // namespace moe
