#include "comm/mpi/mpi_communicator.h"

#include "tests/comm/communicator_conformance.h"
#include "tests/support/mpi_ranks.h"

namespace moe {
namespace {

INSTANTIATE_TEST_SUITE_P(Mpi, CommunicatorTest,
                         testing::Values(CommunicatorBackend{
                             "World",
                             [] { return std::make_unique<MpiRanks>(); }}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace moe
