#include "comm/topology.h"

#include <gtest/gtest.h>

#include <vector>

namespace moe {
namespace {

TEST(TopologyTest, ShapesAreParsedOrRefused) {
  const auto shape = ParseNodeShape("4x2");
  ASSERT_TRUE(shape.ok()) << shape.status();
  EXPECT_EQ(shape->num_nodes, 4);
  EXPECT_EQ(shape->ranks_per_node, 2);
  for (const char* bad :
       {"", "4", "4x", "x2", "4x0", "-1x2", "4x2x1", "a x b"}) {
    EXPECT_EQ(ParseNodeShape(bad).status().code(),
              absl::StatusCode::kInvalidArgument)
        << bad;
  }
}

TEST(TopologyTest, NodesAreNumberedByTheirLowestRank) {
  const auto topology = Topology::FromNodeIds({30, 7, 30, 7, 1});
  ASSERT_TRUE(topology.ok()) << topology.status();
  EXPECT_EQ(topology->num_nodes(), 3);
  EXPECT_EQ(topology->node_of(3), 1);
  EXPECT_EQ(topology->local_rank_of(3), 1);
  EXPECT_EQ(topology->ranks_on(0), (std::vector<int>{0, 2}));
  EXPECT_EQ(topology->ToString(), "3 nodes: 0,2 | 1,3 | 4");
  EXPECT_FALSE(Topology::FromNodeIds({}).ok());
}

TEST(TopologyTest, ShapeOfAGroupNeedsEvenRunsOnEachNode) {
  const auto topology = Topology::FromShape({4, 2});
  ASSERT_TRUE(topology.ok());
  const auto all = topology->ShapeOf({0, 1, 2, 3, 4, 5, 6, 7});
  ASSERT_TRUE(all.ok()) << all.status();
  EXPECT_EQ(all->num_nodes, 4);
  EXPECT_EQ(all->ranks_per_node, 2);
  const auto strided = topology->ShapeOf({1, 3, 5});
  ASSERT_TRUE(strided.ok());
  EXPECT_EQ(strided->num_nodes, 3);
  EXPECT_EQ(strided->ranks_per_node, 1);
  const auto one_node = topology->ShapeOf({2, 3});
  ASSERT_TRUE(one_node.ok());
  EXPECT_EQ(one_node->num_nodes, 1);
  EXPECT_EQ(one_node->ranks_per_node, 2);
  for (const std::vector<int>& uneven : std::vector<std::vector<int>>{
           {0, 1, 2}, {0, 2, 3}, {0, 2, 1, 3}, {0, 1, 2, 3, 4}, {}}) {
    EXPECT_FALSE(topology->ShapeOf(uneven).ok()) << uneven.size();
  }
}

}  // namespace
}  // namespace moe
