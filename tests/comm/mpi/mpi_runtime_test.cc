// What only exists over MPI: on 4 ranks, mpirun's -np.
#include "comm/mpi/mpi_runtime.h"

#include <gtest/gtest.h>
#include <mpi.h>
#include <sys/resource.h>

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "comm/deadline.h"
#include "comm/mpi/mpi_communicator.h"
#include "comm/mpi/mpi_idle_doorbell.h"
#include "comm/mpi/mpi_status.h"
#include "comm/mpi/mpi_topology.h"

namespace moe {
namespace {

std::unique_ptr<HostCommunicator> World() {
  CommunicatorOptions options;
  options.timeout = absl::Seconds(20);
  auto world = MakeMpiCommunicator(MPI_COMM_WORLD, "world", options);
  return world.ok() ? *std::move(world) : nullptr;
}

TEST(MpiRuntimeTest, ASecondOneIsAnError) {
  const auto second = MpiRuntime::Init(nullptr, nullptr);  // main has the first
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(MpiStatusTest, CodesFollowTheErrorsClassAndKeepItsText) {
  EXPECT_TRUE(MpiToStatus(MPI_SUCCESS, "x").ok());
  // A real error, which the runtime's error handler returns.
  const int code = MPI_Send(nullptr, 0, MPI_BYTE, 1000, 0, MPI_COMM_WORLD);
  const absl::Status status = MpiToStatus(code, "sending to rank 1000");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  EXPECT_NE(status.message().find("sending to rank 1000: MPI_ERR_RANK"),
            absl::string_view::npos)
      << status;
  EXPECT_EQ(MpiToStatus(MPI_ERR_NO_MEM, "x").code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(MpiToStatus(MPI_ERR_OTHER, "x").code(),
            absl::StatusCode::kInternal);
}

TEST(MpiTopologyTest, RanksOfOneMpirunHereShareANode) {
  const auto world = World();
  ASSERT_NE(world, nullptr);
  const auto topology = DetectMpiTopology(MPI_COMM_WORLD, *world);
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->num_nodes(), 1);
  EXPECT_EQ(topology->ranks_on(0).size(), 4u);
}

class MpiDoorbellTest : public testing::TestWithParam<NodeShape> {};

TEST_P(MpiDoorbellTest, EveryRankWakesForEachRing) {
  const auto world = World();
  ASSERT_NE(world, nullptr);
  // Shapes of several nodes take the messages between nodes.
  const auto topology = Topology::FromShape(GetParam());
  ASSERT_TRUE(topology.ok());
  auto doorbell = MakeMpiDoorbell(MPI_COMM_WORLD, *world, *topology);
  ASSERT_TRUE(doorbell.ok()) << doorbell.status();
  constexpr int kRings = 20;
  for (int i = 0; i < kRings; ++i) {
    const absl::Status status = world->rank() == 0
                                    ? (*doorbell)->Ring()
                                    : (*doorbell)->Wait(absl::Seconds(20));
    EXPECT_TRUE(status.ok()) << status;
    if (i % 3 == 0) {
      EXPECT_TRUE(world->Barrier().ok());
    }
  }
  if (world->rank() != 0) {
    EXPECT_EQ((*doorbell)->Wait(absl::Milliseconds(5)).code(),
              absl::StatusCode::kDeadlineExceeded);
  }
  EXPECT_TRUE(world->Barrier().ok());
}

INSTANTIATE_TEST_SUITE_P(Shapes, MpiDoorbellTest,
                         testing::Values(NodeShape{1, 4}, NodeShape{2, 2},
                                         NodeShape{4, 1}),
                         [](const auto& info) {
                           return absl::StrCat(info.param.num_nodes, "x",
                                               info.param.ranks_per_node);
                         });

double CpuSeconds() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return t.tv_sec + 1e-6 * t.tv_usec;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

TEST(MpiDoorbellIdleTest, RanksThatWaitLeaveTheCoresAlone) {
  const auto world = World();
  ASSERT_NE(world, nullptr);
  auto doorbell = MakeMpiDoorbell(MPI_COMM_WORLD, *world, Topology::OneNode(4));
  ASSERT_TRUE(doorbell.ok()) << doorbell.status();
  if (world->rank() != 0) {
    const double before = CpuSeconds();
    EXPECT_FALSE((*doorbell)->Wait(absl::Milliseconds(200)).ok());
    // Spinning would take half a core at least; a sleeping rank wakes once.
    EXPECT_LT(CpuSeconds() - before, 0.02);
  } else {
    absl::SleepFor(absl::Milliseconds(200));
  }
  EXPECT_TRUE(world->Barrier().ok());
}

}  // namespace
}  // namespace moe
