// main() of an mpi_test: GoogleTest on every rank, reported by rank 0.
#include <gtest/gtest.h>
#include <mpi.h>

#include <cstdio>

#include "comm/mpi/mpi_runtime.h"

int main(int argc, char** argv) {
  auto mpi = moe::MpiRuntime::Init(&argc, &argv);
  if (!mpi.ok()) {
    std::fprintf(stderr, "%s\n", mpi.status().ToString().c_str());
    return 1;
  }
  const bool reports = (*mpi)->world_rank() == 0;
  if (!reports) testing::GTEST_FLAG(brief) = true;  // only what fails
  testing::InitGoogleTest(&argc, argv);
  if (!reports) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_xml_generator());
  }
  int failed = RUN_ALL_TESTS();
  MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
  const absl::Status finished = (*mpi)->Finalize();
  if (!finished.ok()) {
    std::fprintf(stderr, "%s\n", finished.ToString().c_str());
    return 1;
  }
  return failed;
}
