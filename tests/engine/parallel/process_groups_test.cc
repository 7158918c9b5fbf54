#include "engine/parallel/process_groups.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "comm/thread_communicator.h"

namespace moe {
namespace {

// Makes the groups of every rank and gives them to `body`.
void RunGroups(const Topology& topology, const ParallelLayout& layout,
               const std::function<void(ProcessGroups&)>& body) {
  CommunicatorOptions options;
  options.timeout = absl::Seconds(20);
  auto worlds = MakeThreadCommunicators(layout.world_size(), options);
  std::vector<std::thread> threads;
  for (auto& world : worlds) {
    threads.emplace_back([&, world = std::move(world)]() mutable {
      auto groups = ProcessGroups::Create(std::move(world), topology, layout);
      EXPECT_TRUE(groups.ok()) << groups.status();
      if (groups.ok()) body(**groups);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(ProcessGroupsTest, LayersWithEqualDegreesShareTheirGroups) {
  const auto layout =
      ParallelLayout::Create(8, 2, {{1, 4, 4, 1}, {3, 8, 8, 1}, {5, 6, 4, 1}});
  ASSERT_TRUE(layout.ok()) << layout.status();
  RunGroups(*Topology::FromShape({2, 4}), *layout, [](ProcessGroups& groups) {
    const int rank = groups.world().rank();
    EXPECT_EQ(groups.tensor().size(), 2);
    EXPECT_EQ(groups.tensor().rank(), rank % 2);
    EXPECT_EQ(groups.data().size(), 4);
    EXPECT_EQ(groups.data().rank(), rank / 2);
    EXPECT_EQ(groups.moe_layer(0).expert, groups.moe_layer(2).expert);
    EXPECT_NE(groups.moe_layer(0).expert, groups.moe_layer(1).expert);
    const MoeLayerGroups& narrow = groups.moe_layer(0);
    EXPECT_EQ(narrow.expert->size(), 4);
    EXPECT_EQ(narrow.expert_node, nullptr) << "all four are on one node";
    EXPECT_EQ(narrow.expert_replicas->size(), 2);
    EXPECT_EQ(narrow.expert_peers->host().world_ranks(),
              (std::vector<int>{rank / 4 * 4 + rank % 2,
                                rank / 4 * 4 + 2 + rank % 2}));
    const MoeLayerGroups& wide = groups.moe_layer(1);
    EXPECT_EQ(wide.expert_shape.num_nodes, 2);
    EXPECT_EQ(wide.expert_shape.ranks_per_node, 4);
    ASSERT_NE(wide.expert_node, nullptr);
    EXPECT_EQ(wide.expert_cross->rank() * 4 + wide.expert_node->rank(),
              wide.expert->rank());
    EXPECT_EQ(wide.expert_peers->rank() * 2 + wide.expert_replicas->rank(),
              wide.expert->rank());
    for (HostCommunicator* group : groups.All()) {
      EXPECT_TRUE(group->Barrier().ok()) << group->name();
    }
  });
}

struct ShapeCase {
  const char* what;
  std::vector<int> node_of_rank;
  MoeLayerDegrees degrees;
  std::vector<NodeShape> expected;  // by rank
};

std::vector<NodeShape> Four(NodeShape shape) {
  return std::vector<NodeShape>(4, shape);
}

// The planner takes the cost of messages from it.
TEST(ProcessGroupsTest, TheShapeOfAnExpertGroupTellsWhichMessagesLeaveANode) {
  const NodeShape in_node = {1, 2}, apart = {2, 1};
  const std::vector<ShapeCase> cases = {
      {"pairs in nodes", {0, 0, 1, 1}, {0, 2, 2, 1}, Four(in_node)},
      {"one on each node", {0, 0, 1, 1}, {0, 2, 2, 2}, Four(apart)},
      {"a pair in a node and one that is not",
       {0, 0, 1, 2},
       {0, 2, 2, 1},
       {in_node, in_node, apart, apart}},
      {"four, unevenly", {0, 0, 0, 1}, {0, 4, 4, 1}, Four({4, 1})},
      {"four on two nodes", {0, 0, 1, 1}, {0, 4, 4, 1}, Four({2, 2})}};
  for (const ShapeCase& test : cases) {
    const auto topology = Topology::FromNodeIds(test.node_of_rank);
    ASSERT_TRUE(topology.ok()) << topology.status();
    const auto layout = ParallelLayout::Create(4, 1, {test.degrees});
    ASSERT_TRUE(layout.ok()) << layout.status();
    RunGroups(*topology, *layout, [&](ProcessGroups& groups) {
      const NodeShape& shape = groups.moe_layer(0).expert_shape;
      const NodeShape& expected = test.expected[groups.world().rank()];
      EXPECT_EQ(shape.num_nodes, expected.num_nodes) << test.what;
      EXPECT_EQ(shape.ranks_per_node, expected.ranks_per_node) << test.what;
    });
  }
}

TEST(ProcessGroupsTest, AbortEndsEveryGroupAndNamesTheStep) {
  const auto layout = ParallelLayout::Create(4, 2, {{0, 2, 2, 2}});
  ASSERT_TRUE(layout.ok()) << layout.status();
  RunGroups(Topology::OneNode(4), *layout, [](ProcessGroups& groups) {
    groups.SetStep(9);
    if (groups.world().rank() == 2) {
      // No rank may abort while others still make their groups.
      char ready[4];
      std::vector<ReceiveBuffer> receives;
      for (int r : {0, 1, 3}) receives.push_back({r, &ready[r], 1});
      EXPECT_TRUE(groups.world().Exchange({}, receives).ok());
      groups.Abort(absl::InternalError("lost"));
    } else {
      const char ready = 1;
      const SendBuffer send = {2, &ready, 1};
      EXPECT_TRUE(groups.world().Exchange({&send, 1}, {}).ok());
      std::vector<float> x(1);
      // Group of the rank's peers in which rank 2 is, else the world.
      const absl::Status status =
          groups.world().rank() == 3
              ? groups.moe_layer(0).slice->host().AllReduce(absl::MakeSpan(x))
              : groups.world().Barrier();
      EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
      EXPECT_NE(status.message().find("step 9"), absl::string_view::npos)
          << status;
      EXPECT_NE(status.message().find("lost"), absl::string_view::npos);
    }
  });
}

TEST(ProcessGroupsTest, SizesThatDisagreeAreAnError) {
  const auto layout = ParallelLayout::Create(2, 1, {});
  ASSERT_TRUE(layout.ok());
  auto worlds = MakeThreadCommunicators(1);
  EXPECT_EQ(
      ProcessGroups::Create(std::move(worlds[0]), Topology::OneNode(2), *layout)
          .status()
          .code(),
      absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace moe
