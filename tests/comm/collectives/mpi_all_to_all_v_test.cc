#include "comm/collectives/all_to_all_v.h"
#include "tests/comm/collectives/all_to_all_conformance.h"
#include "tests/support/mpi_ranks.h"

namespace moe {
namespace {

// On 6 ranks, mpirun's -np.
AllToAllCase Mpi(const char* name, int nodes, int places) {
  return {name, {nodes, places}, [] { return std::make_unique<MpiRanks>(); }};
}

INSTANTIATE_TEST_SUITE_P(Mpi, AllToAllTest,
                         testing::Values(Mpi("3x2", 3, 2), Mpi("2x3", 2, 3)),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace moe
