#include "engine/distributed/bootstrap.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "comm/thread_world.h"

namespace moe {
namespace {

// The result of Bootstrap on each of the ranks that start with `info`.
std::vector<absl::StatusOr<Topology>> BootstrapAll(
    const std::vector<absl::StatusOr<BootstrapInfo>>& info) {
  const int size = static_cast<int>(info.size());
  auto worlds = MakeThreadWorlds(size, Topology::OneNode(size));
  std::vector<absl::StatusOr<Topology>> results(size, absl::UnknownError(""));
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r) {
    threads.emplace_back([&, r] {
      results[r] =
          Bootstrap(*worlds[r], std::string(1, char('a' + r)), info[r]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return results;
}

TEST(BootstrapTest, EqualRanksSeeTheNodesThatThereAre) {
  for (const auto& topology :
       BootstrapAll({BootstrapInfo(), BootstrapInfo(), BootstrapInfo()})) {
    ASSERT_TRUE(topology.ok()) << topology.status();
    EXPECT_EQ(topology->num_nodes(), 1);
    EXPECT_EQ(topology->world_size(), 3);
  }
}

TEST(BootstrapTest, NodesCanBePretended) {
  BootstrapInfo info;
  info.node_shape = NodeShape{2, 1};
  for (const auto& topology : BootstrapAll({info, info})) {
    ASSERT_TRUE(topology.ok()) << topology.status();
    EXPECT_EQ(topology->num_nodes(), 2);
  }
  info.node_shape = NodeShape{2, 2};
  for (const auto& topology : BootstrapAll({info, info})) {
    EXPECT_EQ(topology.status(),
              absl::InvalidArgumentError(
                  "parallel.node_shape is 2x2, but this job has 2 ranks"));
  }
}

TEST(BootstrapTest, OneRanksProblemIsTheErrorOfAll) {
  for (const auto& topology :
       BootstrapAll({BootstrapInfo(), absl::NotFoundError("no such file")})) {
    EXPECT_EQ(topology.status(),
              absl::NotFoundError("rank 1 (host b): no such file"));
  }
}

}  // namespace
}  // namespace moe
