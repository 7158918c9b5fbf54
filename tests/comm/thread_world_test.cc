#include "comm/thread_world.h"

#include <gtest/gtest.h>

#include "absl/time/time.h"
#include "tests/support/ranks.h"

namespace moe {
namespace {

TEST(ThreadWorldTest, RanksHaveTheNodesThatTheyPretend) {
  auto worlds = MakeThreadWorlds(4, *Topology::FromShape({2, 2}));
  ASSERT_EQ(worlds.size(), 4u);
  for (int r = 0; r < 4; ++r) {
    EXPECT_EQ(worlds[r]->communicator().rank(), r);
    EXPECT_EQ(worlds[r]->communicator().size(), 4);
    EXPECT_EQ(worlds[r]->DetectTopology()->num_nodes(), 2);
    EXPECT_TRUE(worlds[r]->CheckLauncher().ok());
  }
}

TEST(ThreadWorldTest, GroupsAndTheDoorbellReachAllRanks) {
  auto worlds = MakeThreadWorlds(3, Topology::OneNode(3));
  RunThreadRanks(3, [&](HostCommunicator& rank) {
    World& world = *worlds[rank.rank()];
    const auto group = world.MakeGroup("plans", {});
    ASSERT_TRUE(group.ok()) << group.status();
    EXPECT_EQ((*group)->rank(), rank.rank());
    EXPECT_EQ((*group)->name(), "plans");
    const auto doorbell = world.MakeDoorbell(Topology::OneNode(3));
    ASSERT_TRUE(doorbell.ok()) << doorbell.status();
    const absl::Status rung = rank.rank() == 0
                                  ? (*doorbell)->Ring()
                                  : (*doorbell)->Wait(absl::Seconds(20));
    EXPECT_TRUE(rung.ok()) << rung;
    EXPECT_TRUE((*group)->Barrier().ok());
  });
}

TEST(ThreadWorldTest, ThereIsOneDoorbell) {
  auto worlds = MakeThreadWorlds(1, Topology::OneNode(1));
  EXPECT_TRUE(worlds[0]->MakeDoorbell(Topology::OneNode(1)).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(
      worlds[0]->MakeDoorbell(Topology::OneNode(1)).status()));
}

}  // namespace
}  // namespace moe
