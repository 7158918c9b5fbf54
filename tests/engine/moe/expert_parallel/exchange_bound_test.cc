#include "engine/moe/expert_parallel/exchange_bound.h"

#include <memory>
#include <string>
#include <vector>

#include "comm/topology.h"
#include "engine/config/uniform_model_config.h"
#include "engine/moe/expert_parallel/expert_parallel_dispatcher.h"
#include "engine/moe/expert_parallel/slot_table.h"
#include "engine/parallel/exchange_kind.h"
#include "engine/parallel/process_groups.h"
#include "gtest/gtest.h"
#include "kernels/core/tensor.h"
#include "kernels/core/thread_pool.h"
#include "tests/support/device_tensors.h"
#include "tests/support/ranks.h"
#include "tests/support/test_device.h"

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
  ThreadPool threads(1);
  const auto stream = *TestStream()(threads);
  const MoeLayerDegrees degrees = {
      .num_experts = c.experts, .expert_degree = c.ep, .slice_degree = c.es};
  const ModelConfig model = Model(c);
  const auto layout = ParallelLayout::Create(c.world, c.tensor, {degrees});
  auto groups = ProcessGroups::Create(*world.Split(0, rank, "world"),
                                      *Topology::FromShape(c.nodes), *layout,
                                      TestBackend());
  ASSERT_TRUE(groups.ok()) << groups.status();
  ExchangeBuffers buffers;
  ExchangeOptions options;
  options.pinned = kind;
  auto dispatcher = ExpertParallelDispatcher::Create(model, 0, 0, **groups,
                                                     options, &buffers);
  ASSERT_TRUE(dispatcher.ok()) << dispatcher.status();

  const ExpertPlacement placement(c.world, degrees);
  const int first = placement.ExpertsBegin(placement.expert_rank(victim));
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < kRows * c.top_k; ++i) {
    ids.push_back((first + i % c.top_k) % c.experts);
  }
  const Tensor expert_ids =
      ToDevice(ids, DType::kI32, {kRows, c.top_k}, *stream);
  const Tensor x = ToDevice(std::vector<float>(kRows * kHidden, 1), DType::kF32,
                            {kRows, kHidden}, *stream);
  SlotTable table;
  ASSERT_TRUE(table
                  .Sort(expert_ids.view(), 0, c.experts, c.experts,
                        /*all_here=*/true, *stream)
                  .ok());
  GatingResult gating;
  gating.expert_ids = expert_ids.view();
  gating.expert_offsets = table.expert_offsets();
  gating.row_of_slot = table.row_of_slot();
  gating.slot_of = table.slot_of();
  const std::vector<int32_t> rows(c.world / c.tensor, kRows);

  const int expert_rank = placement.expert_rank(rank);
  const ExchangeBound bound = BoundExchange(
      model, {degrees, placement.NumExpertsOn(expert_rank), c.tensor, kRows,
              c.nodes.num_nodes, c.nodes.ranks_per_node, kind});
  const auto dispatch =
      (*dispatcher)->Dispatch(x.view(), gating, {rows, nullptr}, *stream);
  ASSERT_TRUE(dispatch.ok()) << dispatch.status();
  const auto tokens = (*dispatch)->FinishDispatch();
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  EXPECT_LE(tokens->num_slots(), bound.slots);
  if (expert_rank == placement.expert_rank(victim)) {
    EXPECT_EQ(tokens->num_slots(), bound.slots);
  }
  const int64_t slots = tokens->num_slots();
  const Tensor out = ToDevice(std::vector<float>((slots + 1) * kHidden),
                              DType::kF32, {slots + 1, kHidden}, *stream);
  const absl::Status returning =
      (*dispatch)->BeginCombine(out.view().Rows(0, slots));
  ASSERT_TRUE(returning.ok()) << returning;
  const auto combined = (*dispatch)->FinishCombine();
  ASSERT_TRUE(combined.ok()) << combined.status();
  // A tensor that has grown has half as much again; an unused one holds 1.
  const auto fits = [](const Tensor& tensor, int64_t most) {
    return Elements(tensor) <= most + most / 2 + 1;
  };
  const auto expect_fits = [&](const Tensor& tensor, int64_t most,
                               const char* what) {
    EXPECT_TRUE(fits(tensor, most))
        << what << " has " << Elements(tensor) << ", bound " << most;
  };
  expect_fits(buffers.gathered, bound.gathered, "gathered");
  expect_fits(buffers.packed, bound.packed, "packed");
  expect_fits(buffers.received, bound.received, "received");
  expect_fits(buffers.results, bound.results, "results");
  expect_fits(buffers.in_transit.first, bound.in_transit_first, "first");
  expect_fits(buffers.in_transit.second, bound.in_transit_second, "second");
  int64_t tables =
      buffers.gathered_table.capacity() + buffers.received_table.capacity();
  for (const HostTable* table :
       {&buffers.local_offsets, &buffers.own_slot_of}) {
    tables += table->capacity();
  }
  // What the host fetches from a device, it reads as it lies if it is its own.
  for (const HostTable* table :
       {&buffers.source_offsets, &buffers.received_offsets,
        &buffers.received_rows, &buffers.fetched_slot_of}) {
    if (TestBackend().device() == Device{}) {
      EXPECT_EQ(table->capacity(), 0);
    }
  }
  EXPECT_LE(tables, bound.tables + bound.tables / 2);
}

TEST(ExchangeBoundTest, NoRoutingTakesMoreThanTheBound) {
  const std::vector<BoundCase> cases = {
      {4, 1, 8, 4, 1, {1, 4}},    {4, 1, 8, 4, 1, {2, 2}, 2},
      {4, 1, 3, 4, 1, {1, 4}},  // a rank without experts
      {4, 2, 8, 4, 1, {1, 4}, 2}, {4, 4, 4, 4, 1, {1, 4}, 3},
      {4, 2, 3, 2, 1, {1, 4}, 2}, {4, 1, 4, 2, 2, {1, 4}, 2},
      {4, 2, 4, 1, 2, {1, 4}, 2}, {4, 1, 4, 1, 4, {1, 4}},
      {4, 1, 4, 2, 1, {2, 2}, 2}, {8, 1, 4, 4, 2, {2, 4}, 2}};
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
