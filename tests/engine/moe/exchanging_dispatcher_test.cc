// Every row's results must be those of its experts, whatever the layout, the
// kind of exchange and the shares of the ranks. Experts here are a formula in
// whole numbers, so that sums over slices are exact.

#include "engine/moe/exchanging_dispatcher.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "engine/moe/moe_dispatchers.h"
#include "gtest/gtest.h"
#include "tests/support/ranks.h"

namespace moe {
namespace {

constexpr int64_t kHidden = 20;

struct Case {
  int world;
  int tensor;
  int experts;
  int ep;
  int es = 1;
  NodeShape nodes = {1, 0};  // 0: all ranks
  int64_t top_k = 1;

  std::string Name() const {
    return "w" + std::to_string(world) + "_t" + std::to_string(tensor) + "_e" +
           std::to_string(experts) + "_ep" + std::to_string(ep) + "_es" +
           std::to_string(es) + "_n" + std::to_string(nodes.num_nodes) +
           "_top" + std::to_string(top_k);
  }
};

uint32_t Hash(uint32_t a, uint32_t b, uint32_t c = 0) {
  uint32_t h = a * 2654435761u + b * 40503u + c * 2246822519u + 12345u;
  h ^= h >> 15;
  h *= 2246822519u;
  return h ^ (h >> 13);
}

float Value(int data_rank, int64_t row, int64_t i) {
  return static_cast<float>(Hash(data_rank, row, i) % 1000) - 500;
}

// The expert's answer to a row's i-th value.
float ExpertValue(int expert, float x) {
  return x * static_cast<float>(expert + 1) +
         64.0f * static_cast<float>(expert);
}

// How the rows of a step choose.
enum class Routing { kEven, kOneExpert, kLastExperts };

// One rank's rows and what its gate would say of them.
struct Share {
  Share(int data_rank, int64_t rows, const Case& c, Routing routing)
      : hidden(rows * kHidden + 1), expert_ids(rows * c.top_k + 1) {
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < kHidden; ++i) {
        hidden[r * kHidden + i] = Value(data_rank, r, i);
      }
      int first = 0;
      if (routing == Routing::kEven) {
        first = static_cast<int>(Hash(r, data_rank) % c.experts);
      } else if (routing == Routing::kLastExperts) {
        first = c.experts - 1;
      }
      for (int64_t j = 0; j < c.top_k; ++j) {
        expert_ids[r * c.top_k + j] =
            static_cast<int32_t>((first + j) % c.experts);
      }
    }
    EXPECT_TRUE(SortByExpert(expert_ids.data(), c.top_k, rows, c.top_k, 0,
                             c.experts, c.experts, table)
                    .ok());
    weights.resize(rows * c.top_k + 1);
    table.row_of_slot.reserve(1);
    table.slot_of.reserve(1);
    gating.expert_ids =
        MakeView(expert_ids.data(), DType::kI32, {rows, c.top_k});
    gating.weights = MakeView(weights.data(), DType::kF32, {rows, c.top_k});
    gating.expert_offsets =
        MakeView(table.expert_offsets.data(), DType::kI32, {c.experts + 1});
    gating.row_of_slot =
        MakeView(table.row_of_slot.data(), DType::kI32, {rows * c.top_k});
    gating.slot_of =
        MakeView(table.slot_of.data(), DType::kI32, {rows, c.top_k});
    x = MakeView(hidden.data(), DType::kF32, {rows, kHidden});
  }

  std::vector<float> hidden, weights;
  std::vector<int32_t> expert_ids;
  SlotTable table;
  TensorView x;
  GatingResult gating;
};

// One rank of a case.
class Rank {
 public:
  Rank(Communicator& world, const Case& c, std::optional<ExchangeKind> pinned)
      : case_(c), rank_(world.rank()) {
    config_.hidden_size = kHidden;
    config_.num_layers = 1;
    config_.experts_per_layer = {c.experts};
    config_.top_k = c.top_k;
    const MoeLayerDegrees degrees = {.layer = 0,
                                     .num_experts = c.experts,
                                     .expert_degree = c.ep,
                                     .slice_degree = c.es};
    auto layout = ParallelLayout::Create(c.world, c.tensor, {degrees});
    EXPECT_TRUE(layout.ok()) << layout.status();
    auto own_world = world.Split(0, rank_, "world");
    EXPECT_TRUE(own_world.ok());
    auto groups = ProcessGroups::Create(*std::move(own_world),
                                        c.nodes.ranks_per_node == 0
                                            ? Topology::OneNode(c.world)
                                            : *Topology::FromShape(c.nodes),
                                        *layout);
    EXPECT_TRUE(groups.ok()) << groups.status();
    groups_ = *std::move(groups);
    ExchangeOptions options;
    options.pinned = pinned;
    auto dispatchers = MoeDispatchers::Create(config_, *groups_, options);
    EXPECT_TRUE(dispatchers.ok()) << dispatchers.status();
    dispatchers_.emplace(*std::move(dispatchers));
  }

  int data_rank() const { return rank_ / case_.tensor; }
  const MoeLayerLoad& load() const { return load_; }
  ProcessGroups& groups() { return *groups_; }

  // Begins a dispatch of `rows` rows and waits for its end.
  absl::Status BeginWith(const std::vector<int32_t>& rows_on_data_ranks,
                         int64_t rows) {
    Share share(data_rank(), rows, case_, Routing::kEven);
    TokenDispatcher& dispatcher = *dispatchers_->of_layer(0);
    const absl::Status status = dispatcher.BeginDispatch(
        share.x, share.gating, {rows_on_data_ranks, nullptr});
    return status.ok() ? dispatcher.FinishDispatch().status() : status;
  }

  // One step; expects the right results.
  void Step(const std::vector<int32_t>& rows_on_data_ranks, Routing routing) {
    const int64_t rows = rows_on_data_ranks[data_rank()];
    Share share(data_rank(), rows, case_, routing);
    TokenDispatcher& dispatcher = *dispatchers_->of_layer(0);
    absl::Status status = dispatcher.BeginDispatch(
        share.x, share.gating, {rows_on_data_ranks, &load_});
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_TRUE(dispatcher.Poll().ok());
    const auto tokens = dispatcher.FinishDispatch();
    ASSERT_TRUE(tokens.ok()) << tokens.status();

    const ExpertPlacement placement(case_.world,
                                    {0, case_.experts, case_.ep, case_.es, 0});
    const int expert_rank = placement.expert_rank(rank_);
    ASSERT_EQ(tokens->expert_offsets.size(),
              placement.NumExpertsOn(expert_rank) + 1u);
    const int64_t slots = tokens->num_slots();
    load_.computed_slots += slots;
    std::vector<float> out(slots * kHidden + 1);
    for (int e = 0; e < placement.NumExpertsOn(expert_rank); ++e) {
      for (int32_t s = tokens->expert_offsets[e];
           s < tokens->expert_offsets[e + 1]; ++s) {
        for (int64_t i = 0; i < kHidden; ++i) {
          const float x =
              tokens->x
                  .ptr<float>()[tokens->x_rows[s] * tokens->x.strides[0] + i];
          out[s * kHidden + i] =
              SliceShare(placement.slice_rank(rank_)) *
              ExpertValue(placement.ExpertsBegin(expert_rank) + e, x);
        }
      }
    }
    status = dispatcher.BeginCombine(
        *tokens, MakeView(out.data(), DType::kF32, {slots, kHidden}));
    ASSERT_TRUE(status.ok()) << status;
    const auto combined = dispatcher.FinishCombine();
    ASSERT_TRUE(combined.ok()) << combined.status();
    ASSERT_EQ(combined->slot_of.dims[0], rows);
    int64_t wrong = 0;
    for (int64_t k = 0; k < rows * case_.top_k; ++k) {
      const int64_t slot = combined->slot_of.ptr<int32_t>()[k];
      ASSERT_GE(slot, 0);
      ASSERT_LT(slot, combined->expert_out.dims[0]);
      const float* const result =
          combined->expert_out.ptr<float>() + slot * kHidden;
      for (int64_t i = 0; i < kHidden; ++i) {
        const float x = Value(data_rank(), k / case_.top_k, i);
        wrong += result[i] != ExpertValue(share.expert_ids[k], x);
      }
    }
    EXPECT_EQ(wrong, 0) << "of " << rows << " rows on data rank "
                        << data_rank();
  }

 private:
  // Parts that sum up to one.
  float SliceShare(int slice) const {
    float part = 1;
    for (int s = 0; s <= slice && s < case_.es - 1; ++s) part /= 2;
    return part;
  }

  const Case case_;
  const int rank_;
  ModelConfig config_;
  std::unique_ptr<ProcessGroups> groups_;
  std::optional<MoeDispatchers> dispatchers_;
  MoeLayerLoad load_;
};

std::vector<std::optional<ExchangeKind>> Kinds(const Case& c) {
  std::vector<std::optional<ExchangeKind>> kinds = {
      std::nullopt, ExchangeKind::kFlat, ExchangeKind::kReplicated};
  if (c.es < c.tensor && c.ep > 1) kinds.push_back(ExchangeKind::kCoordinated);
  if (c.nodes.ranks_per_node > 1 && c.tensor <= c.es) {
    kinds.push_back(ExchangeKind::kHierarchical);
  }
  return kinds;
}

// Rows of each data rank, step by step: even, uneven, some and all empty, one.
std::vector<std::vector<int32_t>> Steps(int data_degree) {
  std::vector<std::vector<int32_t>> steps(6, std::vector<int32_t>(data_degree));
  for (int d = 0; d < data_degree; ++d) {
    steps[0][d] = 7;
    steps[1][d] = 3 * d + 1;
    steps[2][d] = d % 2 == 0 ? 0 : 5;
    steps[3][d] = 0;
    steps[4][d] = d == data_degree - 1 ? 1 : 0;
    steps[5][d] = d == 0 ? 60 : 2;
  }
  return steps;
}

class ExchangingDispatcherTest : public testing::TestWithParam<Case> {};

TEST_P(ExchangingDispatcherTest, EveryRowComesBackFromItsExperts) {
  const Case& c = GetParam();
  const int data_degree = c.world / c.tensor;
  for (const std::optional<ExchangeKind>& kind : Kinds(c)) {
    SCOPED_TRACE(kind.has_value() ? std::string(ExchangeKindName(*kind))
                                  : "auto");
    std::vector<int64_t> computed(c.world);
    RunThreadRanks(c.world, [&](Communicator& world) {
      Rank rank(world, c, kind);
      int64_t steps = 0;
      for (const Routing routing : {Routing::kEven, Routing::kOneExpert,
                                    Routing::kLastExperts, Routing::kEven}) {
        for (const auto& rows : Steps(data_degree)) {
          rank.Step(rows, routing);
          if (testing::Test::HasFatalFailure()) return;
          ++steps;
        }
      }
      computed[world.rank()] = rank.load().computed_slots;
      const auto& exchanges = rank.load().exchanges;
      int64_t counted = 0;
      for (int64_t count : exchanges) counted += count;
      EXPECT_EQ(counted > 0, c.ep > 1);
      EXPECT_LE(counted, steps);
      if (kind.has_value() && c.ep > 1) {
        EXPECT_EQ(counted, exchanges[static_cast<size_t>(*kind)]);
      }
      EXPECT_EQ(rank.load().messages > 0, rank.load().bytes > 0);
    });
    int64_t rows = 0;
    for (const auto& step : Steps(data_degree)) {
      for (int32_t r : step) rows += 4 * r;
    }
    int64_t slots = 0;
    for (int64_t s : computed) slots += s;
    // Each once by every slice, and by every copy inside a tensor group.
    EXPECT_EQ(slots,
              rows * c.top_k * c.es * std::max(1, c.tensor / (c.ep * c.es)));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, ExchangingDispatcherTest,
    testing::Values(
        Case{2, 1, 4, 2}, Case{2, 1, 4, 2, 1, {1, 0}, 2}, Case{3, 1, 5, 3},
        Case{3, 1, 5, 3, 1, {1, 0}, 3},
        Case{4, 1, 3, 4},                // a rank without experts
        Case{4, 1, 3, 4, 1, {2, 2}, 2},  // on two nodes
        Case{4, 1, 4, 2, 1, {1, 0}, 2},  // two copies
        Case{4, 2, 4, 4, 1, {1, 0}, 2},  // replicas
        Case{4, 4, 6, 4, 1, {1, 0}, 2},  // all have the same rows
        Case{4, 4, 4, 2, 1, {1, 0}, 2},  // copies in a tensor group
        Case{4, 2, 3, 1, 2, {1, 0}, 2},  // slices alone
        Case{4, 4, 3, 1, 2}, Case{4, 4, 3, 2, 2},
        Case{4, 1, 3, 2, 2, {1, 0}, 2},  // slices of two data ranks
        Case{2, 1, 3, 1, 2, {1, 0}, 2}, Case{6, 1, 4, 3, 2},
        Case{6, 2, 5, 6, 1, {1, 0}, 2}, Case{6, 3, 5, 6, 1, {1, 0}, 2},
        Case{6, 1, 7, 6, 1, {3, 2}, 2}, Case{7, 1, 3, 7},
        Case{8, 1, 8, 8, 1, {2, 4}, 2}, Case{8, 1, 16, 8, 1, {4, 2}, 2},
        Case{8, 1, 8, 4, 1, {4, 2}}, Case{8, 1, 4, 4, 2, {2, 4}, 2},
        Case{8, 2, 8, 8, 1, {2, 4}, 2}, Case{8, 4, 9, 8, 1, {1, 0}, 2},
        Case{8, 2, 4, 4, 2, {1, 0}, 2}, Case{8, 4, 4, 4, 2},
        Case{8, 2, 4, 2, 4, {1, 0}, 2}, Case{8, 1, 2, 2, 4, {1, 0}, 2}),
    [](const testing::TestParamInfo<Case>& info) { return info.param.Name(); });

// Messages that a rank sends for one layer and step, with rows from and for
// every rank.
TEST(ExchangeMessagesTest, AreThoseOfTheKinds) {
  const Case flat = {8, 1, 8, 8, 1, {2, 4}};
  const Case replicas = {8, 2, 8, 8};
  const Case one_source = {4, 4, 4, 4};
  struct Expected {
    Case layout;
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
    RunThreadRanks(e.layout.world, [&](Communicator& world) {
      Rank rank(world, e.layout, e.kind);
      // So many rows that every rank has some for every other.
      const int data_degree = e.layout.world / e.layout.tensor;
      rank.Step(std::vector<int32_t>(data_degree, 300), Routing::kEven);
      EXPECT_EQ(rank.load().messages, e.messages);
    });
  }
}

TEST(ExchangeMessagesTest, StepsWithoutRowsSendNone) {
  const Case c = {4, 1, 4, 4};
  RunThreadRanks(4, [&](Communicator& world) {
    Rank rank(world, c, std::nullopt);
    rank.Step({0, 0, 0, 0}, Routing::kEven);
    EXPECT_EQ(rank.load().messages, 0);
    EXPECT_EQ(rank.load().exchanges, (std::array<int64_t, 4>{}));
  });
}

TEST(ExchangeErrorsTest, RowsThatDoNotFitTheStepAreNamed) {
  const Case c = {2, 1, 4, 2};
  RunThreadRanks(2, [&](Communicator& world) {
    Rank rank(world, c, std::nullopt);
    EXPECT_EQ(rank.BeginWith({3, 4}, 5).message(),
              "layer 0: data rank " + std::to_string(world.rank()) +
                  " of 2 has 5 rows, rows_on_data_ranks is [3, 4]");
    EXPECT_FALSE(rank.BeginWith({}, 5).ok());
  });
}

TEST(ExchangeErrorsTest, AnAbortEndsTheWaitWithItsReason) {
  const Case c = {3, 1, 3, 3};
  RunThreadRanks(3, [&](Communicator& world) {
    Rank rank(world, c, ExchangeKind::kFlat);
    if (world.rank() == 2) {
      rank.groups().Abort(absl::InternalError("out of memory"));
      return;
    }
    const absl::Status status = rank.BeginWith({4, 4, 4}, 4);
    EXPECT_EQ(status.code(), absl::StatusCode::kAborted) << status;
    EXPECT_NE(status.message().find("out of memory"), std::string::npos);
  });
}

TEST(ExchangeErrorsTest, AKindThatNoLayerAdmitsIsRefused) {
  RunThreadRanks(4, [&](Communicator& world) {
    const auto layout = ParallelLayout::Create(
        4, 1, {{.layer = 1, .num_experts = 4, .expert_degree = 4}});
    auto groups = *ProcessGroups::Create(*world.Split(0, world.rank(), "world"),
                                         Topology::OneNode(4), *layout);
    ModelConfig config;
    config.hidden_size = kHidden;
    config.num_layers = 2;
    config.experts_per_layer = {0, 4};
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
