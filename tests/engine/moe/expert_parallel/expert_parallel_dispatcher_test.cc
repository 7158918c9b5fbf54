#include "engine/moe/expert_parallel/expert_parallel_dispatcher.h"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/synchronization/notification.h"
#include "engine/parallel/parallel_layout.h"
#include "gtest/gtest.h"
#include "tests/engine/moe/expert_parallel/dispatcher_conformance.h"

namespace moe {
namespace {

DispatcherConformanceCase Threads(const DispatcherCase& layout) {
  return {layout, [](int size) -> std::unique_ptr<RankRunner> {
            return std::make_unique<ThreadRanks>(size);
          }};
}

INSTANTIATE_TEST_SUITE_P(
    Threads, DispatcherConformanceTest,
    testing::Values(
        Threads({2, 1, 4, 2}), Threads({2, 1, 4, 2, 1, {1, 0}, 2}),
        Threads({3, 1, 5, 3}), Threads({3, 1, 5, 3, 1, {1, 0}, 3}),
        Threads({4, 1, 3, 4}),                // a rank without experts
        Threads({4, 1, 3, 4, 1, {2, 2}, 2}),  // on two nodes
        Threads({4, 1, 4, 2, 1, {1, 0}, 2}),  // two copies
        Threads({4, 2, 4, 4, 1, {1, 0}, 2}),  // replicas
        Threads({4, 4, 6, 4, 1, {1, 0}, 2}),  // all have the same rows
        Threads({4, 4, 4, 2, 1, {1, 0}, 2}),  // copies in a tensor group
        Threads({4, 2, 3, 1, 2, {1, 0}, 2}),  // slices alone
        Threads({4, 4, 3, 1, 2}), Threads({4, 4, 3, 2, 2}),
        Threads({4, 1, 3, 2, 2, {1, 0}, 2}),  // slices of two data ranks
        Threads({2, 1, 3, 1, 2, {1, 0}, 2}), Threads({6, 1, 4, 3, 2}),
        Threads({6, 2, 5, 6, 1, {1, 0}, 2}),
        Threads({6, 3, 5, 6, 1, {1, 0}, 2}),
        Threads({6, 1, 7, 6, 1, {3, 2}, 2}), Threads({7, 1, 3, 7}),
        Threads({8, 1, 8, 8, 1, {2, 4}, 2}),
        Threads({8, 1, 16, 8, 1, {4, 2}, 2}), Threads({8, 1, 8, 4, 1, {4, 2}}),
        Threads({8, 1, 4, 4, 2, {2, 4}, 2}),
        Threads({8, 2, 8, 8, 1, {2, 4}, 2}),
        Threads({8, 4, 9, 8, 1, {1, 0}, 2}),
        Threads({8, 2, 4, 4, 2, {1, 0}, 2}), Threads({8, 4, 4, 4, 2}),
        Threads({8, 2, 4, 2, 4, {1, 0}, 2}),
        Threads({8, 1, 2, 2, 4, {1, 0}, 2})),
    NameOf);

// Every layout of 5 experts that up to 8 ranks admit.
std::vector<DispatcherConformanceCase> AllLayouts() {
  std::vector<DispatcherConformanceCase> cases;
  for (int world = 1; world <= 8; ++world) {
    for (int tensor = 1; tensor <= world; ++tensor) {
      for (int ep = 1; ep <= world; ++ep) {
        for (int es = 1; es * ep <= world; ++es) {
          const MoeLayerDegrees degrees = {
              .num_experts = 5, .expert_degree = ep, .slice_degree = es};
          if (!ParallelLayout::Create(world, tensor, {degrees}).ok()) continue;
          cases.push_back(Threads({world, tensor, 5, ep, es, {1, 0}, 2}));
        }
      }
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(AllLayouts, DispatcherConformanceTest,
                         testing::ValuesIn(AllLayouts()), NameOf);

// Messages that a rank sends for one layer and step, with rows from and for
// every rank.
TEST(ExchangeMessagesTest, AreThoseOfTheKinds) {
  const DispatcherCase flat = {8, 1, 8, 8, 1, {2, 4}};
  const DispatcherCase replicas = {8, 2, 8, 8};
  const DispatcherCase one_source = {4, 4, 4, 4};
  struct Expected {
    DispatcherCase layout;
    ExchangeKind kind;
    int64_t messages;
  };
  for (const Expected& e :
       std::vector<Expected>{// Counts, rows, results.
                             {flat, ExchangeKind::kFlat, 3 * 7},
                             {flat, ExchangeKind::kHierarchical, 3 * (3 + 1)},
                             {flat, ExchangeKind::kReplicated, 7 + 7},
                             {replicas, ExchangeKind::kFlat, 3 * 7 + 1},
                             {replicas, ExchangeKind::kCoordinated, 3 * 3 + 1},
                             {replicas, ExchangeKind::kReplicated, 3 + 7},
                             {one_source, ExchangeKind::kCoordinated, 3},
                             {one_source, ExchangeKind::kReplicated, 3}}) {
    SCOPED_TRACE(e.layout.Name() + " " + std::string(ExchangeKindName(e.kind)));
    RunThreadRanks(e.layout.world, [&](HostCommunicator& world) {
      DispatcherRank rank(world, e.layout, e.kind);
      // So many rows that every rank has some for every other.
      const int data_degree = e.layout.world / e.layout.tensor;
      rank.Step(std::vector<int32_t>(data_degree, 300), RoutingPattern::kEven);
      EXPECT_EQ(rank.load().messages, e.messages);
    });
  }
}

TEST(ExchangeMessagesTest, StepsWithoutRowsSendNone) {
  const DispatcherCase c = {4, 1, 4, 4};
  RunThreadRanks(4, [&](HostCommunicator& world) {
    DispatcherRank rank(world, c, std::nullopt);
    rank.Step({0, 0, 0, 0}, RoutingPattern::kEven);
    EXPECT_EQ(rank.load().messages, 0);
    EXPECT_EQ(rank.load().exchanges, (std::array<int64_t, 4>{}));
  });
}

TEST(ExchangeErrorsTest, RowsThatDoNotFitTheStepAreNamed) {
  const DispatcherCase c = {2, 1, 4, 2};
  RunThreadRanks(2, [&](HostCommunicator& world) {
    DispatcherRank rank(world, c, std::nullopt);
    EXPECT_EQ(rank.RunWith({3, 4}, 5).message(),
              "layer 0: data rank " + std::to_string(world.rank()) +
                  " of 2 has 5 rows, rows_on_data_ranks is [3, 4]");
    EXPECT_FALSE(rank.RunWith({}, 5).ok());
  });
}

TEST(ExchangeErrorsTest, AnAbortEndsTheWaitWithItsReason) {
  const DispatcherCase c = {3, 1, 3, 3};
  RunThreadRanks(3, [&](HostCommunicator& world) {
    DispatcherRank rank(world, c, ExchangeKind::kFlat);
    EXPECT_TRUE(world.Barrier().ok());  // all have their groups
    if (world.rank() == 2) {
      rank.groups().Abort(absl::InternalError("out of memory"));
      return;
    }
    const absl::Status status = rank.RunWith({4, 4, 4}, 4);
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
    EXPECT_NE(status.message().find("out of memory"), std::string::npos);
  });
}

// A rank that fails between the calls, and aborts its groups, does not wait for
// its peers, which learn why: they come only when it has gone.
TEST(ExchangeErrorsTest, GivingUpWaitsForNobody) {
  const DispatcherCase in_nodes = {4, 1, 4, 4, 1, {2, 2}};
  const DispatcherCase replicas = {4, 2, 4, 4};
  struct Case {
    DispatcherCase layout;
    ExchangeKind kind;
  };
  for (const Case& c :
       std::vector<Case>{{in_nodes, ExchangeKind::kFlat},
                         {in_nodes, ExchangeKind::kReplicated},
                         {in_nodes, ExchangeKind::kHierarchical},
                         {replicas, ExchangeKind::kCoordinated}}) {
    SCOPED_TRACE(ExchangeKindName(c.kind));
    absl::Notification gone;
    RunThreadRanks(4, [&](HostCommunicator& world) {
      DispatcherRank rank(world, c.layout, c.kind);
      const std::vector<int32_t> rows(4 / c.layout.tensor, 40);
      EXPECT_TRUE(world.Barrier().ok());  // all have their groups
      if (world.rank() == 0) {
        rank.GiveUp(rows, absl::ResourceExhaustedError("no memory left"));
        gone.Notify();
        return;
      }
      gone.WaitForNotification();
      // Some exchange with others first, and learn it from them.
      const absl::Status status = rank.RunWith(rows, 40);
      EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
      EXPECT_NE(status.message().find("no memory left"), std::string::npos)
          << status;
      rank.groups().Abort(status);
    });
  }
}

TEST(ExchangeErrorsTest, AFailedGroupBeginsNoDispatch) {
  const DispatcherCase c = {2, 1, 4, 2};
  RunThreadRanks(2, [&](HostCommunicator& world) {
    DispatcherRank rank(world, c, ExchangeKind::kFlat);
    EXPECT_TRUE(world.Barrier().ok());  // all have their groups
    rank.groups().Abort(absl::InternalError("out of memory"));
    // Not even one without rows, which would exchange nothing.
    EXPECT_EQ(rank.RunWith({0, 0}, 0).code(), absl::StatusCode::kAborted);
  });
}

TEST(ExchangeErrorsTest, AKindThatNoLayerAdmitsIsRefused) {
  RunThreadRanks(4, [&](HostCommunicator& world) {
    const auto layout = ParallelLayout::Create(
        4, 1, {{.layer = 1, .num_experts = 4, .expert_degree = 4}});
    auto groups = *ProcessGroups::Create(*world.Split(0, world.rank(), "world"),
                                         Topology::OneNode(4), *layout);
    ModelConfig config;
    config.hidden_size = 16;
    config.layers.resize(2);
    config.layers[1].mlp = MoeConfig{.num_experts = 4};
    ExchangeOptions options;
    for (const ExchangeKind kind :
         {ExchangeKind::kHierarchical, ExchangeKind::kCoordinated}) {
      options.pinned = kind;
      EXPECT_EQ(
          MoeDispatchers::Create(config, *groups, options).status().code(),
          absl::StatusCode::kInvalidArgument);
    }
    options.pinned = ExchangeKind::kFlat;
    const auto made = MoeDispatchers::Create(config, *groups, options);
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->of_layer(0), nullptr);
    EXPECT_NE(made->of_layer(1), nullptr);
  });
}

}  // namespace
}  // namespace moe
