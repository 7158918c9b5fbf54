#include <memory>

#include "tests/engine/moe/expert_parallel/dispatcher_conformance.h"
#include "tests/support/mpi_ranks.h"

namespace moe {
namespace {

// On 8 ranks, mpirun's -np.
DispatcherConformanceCase Mpi(const DispatcherCase& layout) {
  return {layout, [](int) -> std::unique_ptr<RankRunner> {
            return std::make_unique<MpiRanks>();
          }};
}

INSTANTIATE_TEST_SUITE_P(Mpi, DispatcherConformanceTest,
                         testing::Values(Mpi({8, 1, 16, 8, 1, {4, 2}, 2}),
                                         Mpi({8, 1, 9, 8, 1, {2, 4}}),
                                         Mpi({8, 2, 8, 8, 1, {1, 0}, 2}),
                                         Mpi({8, 4, 4, 4, 2}),
                                         Mpi({8, 1, 2, 2, 4, {1, 0}, 2})),
                         NameOf);

}  // namespace
}  // namespace moe
