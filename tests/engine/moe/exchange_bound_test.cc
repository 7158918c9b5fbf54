#include "engine/moe/exchange_bound.h"

#include <memory>
#include <string>
#include <vector>

#include "comm/topology.h"
#include "engine/config/uniform_model_config.h"
#include "engine/moe/exchanging_dispatcher.h"
#include "engine/moe/packed_tokens.h"
#include "engine/parallel/exchange_kind.h"
#include "engine/parallel/process_groups.h"
#include "gtest/gtest.h"
#include "kernels/core/tensor.h"
#include "tests/support/ranks.h"

namespace moe {
namespace {

constexpr int64_t kHidden = 24;
constexpr int64_t kRows = 10;

struct BoundCase {
  int world, tensor, experts, ep, es;
  NodeShape nodes;
  int top_k = 1;
};

ModelConfig Model(const BoundCase& c) {
  UniformModelConfig model;
  model.hidden_size = kHidden;
  model.ffn_hidden_size = 48;
  model.num_layers = 1;
  model.vocab_size = 100;
  model.experts_per_layer = {c.experts};
  model.top_k = c.top_k;
  return model;
}

int64_t Elements(const Tensor& tensor) {
  return tensor.view().empty() ? 0 : tensor.view().num_elements();
}

// All rows of all ranks choose experts from the first of `victim` on. What that
// takes keeps to the bounds, and reaches those of rows.
void RunStep(HostCommunicator& world, const BoundCase& c, ExchangeKind kind,
             int victim) {
  const int rank = world.rank();
  const MoeLayerDegrees degrees = {
      .num_experts = c.experts, .expert_degree = c.ep, .slice_degree = c.es};
  const ModelConfig model = Model(c);
  const auto layout = ParallelLayout::Create(c.world, c.tensor, {degrees});
  auto groups = ProcessGroups::Create(*world.Split(0, rank, "world"),
                                      *Topology::FromShape(c.nodes), *layout);
  ASSERT_TRUE(groups.ok()) << groups.status();
  ExchangeBuffers buffers;
  ExchangeOptions options;
  options.pinned = kind;
  auto dispatcher =
      ExchangingDispatcher::Create(model, 0, 0, **groups, options, &buffers);
  ASSERT_TRUE(dispatcher.ok()) << dispatcher.status();

  const ExpertPlacement placement(c.world, degrees);
  const int first = placement.ExpertsBegin(placement.expert_rank(victim));
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < kRows * c.top_k; ++i) {
    ids.push_back((first + i % c.top_k) % c.experts);
  }
  SlotTable table;
  ASSERT_TRUE(SortByExpert(ids.data(), c.top_k, kRows, c.top_k, 0, c.experts,
                           c.experts, table)
                  .ok());
  std::vector<float> x(kRows * kHidden, 1), weights(kRows * c.top_k, 1);
  GatingResult gating;
  gating.expert_ids = MakeView(ids.data(), DType::kI32, {kRows, c.top_k});
  gating.weights = MakeView(weights.data(), DType::kF32, {kRows, c.top_k});
  gating.expert_offsets =
      MakeView(table.expert_offsets.data(), DType::kI32, {c.experts + 1});
  gating.row_of_slot =
      MakeView(table.row_of_slot.data(), DType::kI32, {kRows * c.top_k});
  gating.slot_of =
      MakeView(table.slot_of.data(), DType::kI32, {kRows, c.top_k});
  const std::vector<int32_t> rows(c.world / c.tensor, kRows);

  const int expert_rank = placement.expert_rank(rank);
  const ExchangeBound bound =
      BoundExchange(model, degrees, placement.NumExpertsOn(expert_rank),
                    c.tensor, kRows, c.nodes.ranks_per_node);
  const absl::Status begun =
      (*dispatcher)
          ->BeginDispatch(MakeView(x.data(), DType::kF32, {kRows, kHidden}),
                          gating, {rows, nullptr});
  ASSERT_TRUE(begun.ok()) << begun;
  const auto tokens = (*dispatcher)->FinishDispatch();
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_LE(tokens->num_slots(), bound.slots);
  if (expert_rank == placement.expert_rank(victim)) {
    EXPECT_EQ(tokens->num_slots(), bound.slots);
  }
  std::vector<float> out(tokens->num_slots() * kHidden + 1);
  const absl::Status returning =
      (*dispatcher)
          ->BeginCombine(*tokens, MakeView(out.data(), DType::kF32,
                                           {tokens->num_slots(), kHidden}));
  ASSERT_TRUE(returning.ok()) << returning;
  const auto combined = (*dispatcher)->FinishCombine();
  ASSERT_TRUE(combined.ok()) << combined.status();
  // A tensor that has grown has half as much again; an unused one holds 1.
  const auto fits = [](const Tensor& tensor, int64_t most) {
    return Elements(tensor) <= most + most / 2 + 1;
  };
  EXPECT_TRUE(fits(buffers.united, bound.gathered)) << Elements(buffers.united);
  EXPECT_TRUE(fits(buffers.packed, bound.packed)) << Elements(buffers.packed);
  EXPECT_TRUE(fits(buffers.arrived, bound.received))
      << Elements(buffers.arrived);
  EXPECT_TRUE(fits(buffers.results, bound.results))
      << Elements(buffers.results);
}

TEST(ExchangeBoundTest, NoRoutingTakesMoreThanTheBound) {
  const std::vector<BoundCase> cases = {
      {4, 1, 8, 4, 1, {1, 4}},    {4, 1, 8, 4, 1, {2, 2}, 2},
      {4, 1, 3, 4, 1, {1, 4}},  // a rank without experts
      {4, 2, 8, 4, 1, {1, 4}, 2}, {4, 4, 4, 4, 1, {1, 4}},
      {4, 1, 4, 2, 2, {1, 4}, 2}, {4, 2, 4, 1, 2, {1, 4}, 2},
      {4, 1, 4, 1, 4, {1, 4}},    {4, 1, 4, 2, 1, {2, 2}, 2}};
  for (const BoundCase& c : cases) {
    for (const ExchangeKind kind :
         {ExchangeKind::kFlat, ExchangeKind::kReplicated,
          ExchangeKind::kHierarchical, ExchangeKind::kCoordinated}) {
      SCOPED_TRACE(testing::Message()
                   << c.world << " ranks, tensor " << c.tensor << ", ep "
                   << c.ep << ", es " << c.es << ", "
                   << ExchangeKindName(kind));
      RunThreadRanks(c.world, [&](HostCommunicator& world) {
        RunStep(world, c, kind, /*victim=*/0);
      });
      RunThreadRanks(c.world, [&](HostCommunicator& world) {
        RunStep(world, c, kind, /*victim=*/c.world - 1);
      });
    }
  }
}

}  // namespace
}  // namespace moe
