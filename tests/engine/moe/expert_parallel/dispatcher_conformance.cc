#include "tests/engine/moe/expert_parallel/dispatcher_conformance.h"

#include <algorithm>

#include "engine/moe/expert_parallel/slot_table.h"
#include "engine/parallel/parallel_layout.h"
#include "kernels/core/status_macros.h"
#include "tests/support/device_tensors.h"
#include "tests/support/test_device.h"

namespace moe {
namespace {

constexpr int64_t kHidden = 20;

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

// One rank's rows on its device, and what its gate would say of them.
struct GatedRows {
  GatedRows(int data_rank, int64_t rows, const DispatcherCase& c,
            RoutingPattern routing, Stream& stream)
      : stream(stream), ids((rows + 1) * c.top_k) {
    // One row more, for a tensor has memory.
    std::vector<float> values((rows + 1) * kHidden);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t i = 0; i < kHidden; ++i) {
        values[r * kHidden + i] = Value(data_rank, r, i);
      }
      int first = 0;
      if (routing == RoutingPattern::kEven) {
        first = static_cast<int>(Hash(r, data_rank) % c.experts);
      } else if (routing == RoutingPattern::kLastExperts) {
        first = c.experts - 1;
      }
      for (int64_t j = 0; j < c.top_k; ++j) {
        ids[r * c.top_k + j] = static_cast<int32_t>((first + j) % c.experts);
      }
    }
    hidden = ToDevice(values, DType::kF32, {rows + 1, kHidden}, stream);
    expert_ids = ToDevice(ids, DType::kI32, {rows + 1, c.top_k}, stream);
    x = hidden.view().Rows(0, rows);
    gating.expert_ids = expert_ids.view().Rows(0, rows);
    EXPECT_TRUE(table
                    .Sort(gating.expert_ids, 0, c.experts, c.experts,
                          /*all_here=*/true, stream)
                    .ok());
    gating.expert_offsets = table.expert_offsets();
    gating.row_of_slot = table.row_of_slot();
    gating.slot_of = table.slot_of();
  }

  // Work that is under way uses them.
  ~GatedRows() { EXPECT_TRUE(stream.Synchronize().ok()); }

  Stream& stream;
  std::vector<int32_t> ids;
  Tensor hidden, expert_ids;
  SlotTable table;
  TensorView x;
  GatingResult gating;
};

std::vector<std::optional<ExchangeKind>> Kinds(const DispatcherCase& c) {
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

}  // namespace

std::string DispatcherCase::Name() const {
  return "w" + std::to_string(world) + "_t" + std::to_string(tensor) + "_e" +
         std::to_string(experts) + "_ep" + std::to_string(ep) + "_es" +
         std::to_string(es) + "_n" + std::to_string(nodes.num_nodes) + "_top" +
         std::to_string(top_k);
}

std::string NameOf(
    const testing::TestParamInfo<DispatcherConformanceCase>& info) {
  return info.param.layout.Name();
}

DispatcherRank::DispatcherRank(HostCommunicator& world, const DispatcherCase& c,
                               std::optional<ExchangeKind> pinned)
    : case_(c), rank_(world.rank()) {
  auto stream = TestStream()(threads_);
  EXPECT_TRUE(stream.ok()) << stream.status();
  stream_ = *std::move(stream);
  config_.hidden_size = kHidden;
  config_.layers.resize(1);
  config_.layers[0].mlp = MoeConfig{.num_experts = c.experts, .top_k = c.top_k};
  const MoeLayerDegrees degrees = {.layer = 0,
                                   .num_experts = c.experts,
                                   .expert_degree = c.ep,
                                   .slice_degree = c.es};
  auto layout = ParallelLayout::Create(c.world, c.tensor, {degrees});
  EXPECT_TRUE(layout.ok()) << layout.status();
  auto own_world = world.Split(0, rank_, "world");
  EXPECT_TRUE(own_world.ok()) << own_world.status();
  auto groups = ProcessGroups::Create(*std::move(own_world),
                                      c.nodes.ranks_per_node == 0
                                          ? Topology::OneNode(c.world)
                                          : *Topology::FromShape(c.nodes),
                                      *layout, TestBackend());
  EXPECT_TRUE(groups.ok()) << groups.status();
  groups_ = *std::move(groups);
  ExchangeOptions options;
  options.pinned = pinned;
  auto dispatchers = MoeDispatchers::Create(config_, *groups_, options);
  EXPECT_TRUE(dispatchers.ok()) << dispatchers.status();
  dispatchers_ = *std::move(dispatchers);
}

float DispatcherRank::SliceShare(int slice) const {
  float part = 1;
  for (int s = 0; s <= slice && s < case_.es - 1; ++s) part /= 2;
  return part;
}

absl::Status DispatcherRank::RunWith(
    const std::vector<int32_t>& rows_on_data_ranks, int64_t rows) {
  GatedRows own(data_rank(), rows, case_, RoutingPattern::kEven, *stream_);
  const auto dispatch = dispatchers_.of_layer(0)->Dispatch(
      own.x, own.gating, {rows_on_data_ranks, nullptr}, *stream_);
  RETURN_IF_ERROR(dispatch.status());
  ASSIGN_OR_RETURN(const DispatchedTokens tokens,
                   (*dispatch)->FinishDispatch());
  const int64_t slots = tokens.num_slots();
  const Tensor out = ToDevice(std::vector<float>((slots + 1) * kHidden),
                              DType::kF32, {slots + 1, kHidden}, *stream_);
  RETURN_IF_ERROR((*dispatch)->BeginCombine(out.view().Rows(0, slots)));
  RETURN_IF_ERROR((*dispatch)->FinishCombine().status());
  return stream_->Synchronize();
}

void DispatcherRank::GiveUp(const std::vector<int32_t>& rows_on_data_ranks,
                            const absl::Status& reason) {
  GatedRows own(data_rank(), rows_on_data_ranks[data_rank()], case_,
                RoutingPattern::kEven, *stream_);
  const auto dispatch = dispatchers_.of_layer(0)->Dispatch(
      own.x, own.gating, {rows_on_data_ranks, nullptr}, *stream_);
  ASSERT_TRUE(dispatch.ok()) << dispatch.status();
  groups_->Abort(reason);
}

Tensor DispatcherRank::RunExperts(const DispatchedTokens& tokens) {
  const ExpertPlacement placement(case_.world,
                                  {0, case_.experts, case_.ep, case_.es, 0});
  const int expert_rank = placement.expert_rank(rank_);
  const auto offsets = ToHost<int32_t>(tokens.expert_offsets, *stream_);
  EXPECT_EQ(offsets.size(), placement.NumExpertsOn(expert_rank) + 1u);
  const auto rows_of = ToHost<int32_t>(tokens.row_of_slot, *stream_);
  const auto x = ToHost<float>(tokens.x, *stream_);
  const int64_t slots = tokens.num_slots();
  std::vector<float> out((slots + 1) * kHidden);
  for (int e = 0; e < placement.NumExpertsOn(expert_rank); ++e) {
    for (int32_t s = offsets[e]; s < offsets[e + 1]; ++s) {
      for (int64_t i = 0; i < kHidden; ++i) {
        out[s * kHidden + i] =
            SliceShare(placement.slice_rank(rank_)) *
            ExpertValue(placement.ExpertsBegin(expert_rank) + e,
                        x[rows_of[s] * kHidden + i]);
      }
    }
  }
  return ToDevice(out, DType::kF32, {slots + 1, kHidden}, *stream_);
}

void DispatcherRank::Step(const std::vector<int32_t>& rows_on_data_ranks,
                          RoutingPattern routing) {
  const int64_t rows = rows_on_data_ranks[data_rank()];
  GatedRows own(data_rank(), rows, case_, routing, *stream_);
  const auto dispatch = dispatchers_.of_layer(0)->Dispatch(
      own.x, own.gating, {rows_on_data_ranks, &load_}, *stream_);
  ASSERT_TRUE(dispatch.ok()) << dispatch.status();
  EXPECT_TRUE((*dispatch)->Poll().ok());
  const auto tokens = (*dispatch)->FinishDispatch();
  ASSERT_TRUE(tokens.ok()) << tokens.status();
  load_.computed_slots += tokens->num_slots();
  const Tensor out = RunExperts(*tokens);
  const absl::Status status =
      (*dispatch)->BeginCombine(out.view().Rows(0, tokens->num_slots()));
  ASSERT_TRUE(status.ok()) << status;
  const auto combined = (*dispatch)->FinishCombine();
  ASSERT_TRUE(combined.ok()) << combined.status();
  ASSERT_EQ(combined->slot_of.dims[0], rows);
  const auto slot_of = ToHost<int32_t>(combined->slot_of, *stream_);
  const auto results = ToHost<float>(combined->expert_out, *stream_);
  int64_t wrong = 0;
  for (int64_t k = 0; k < rows * case_.top_k; ++k) {
    const int64_t slot = slot_of[k];
    ASSERT_GE(slot, 0);
    ASSERT_LT(slot, combined->expert_out.dims[0]);
    for (int64_t i = 0; i < kHidden; ++i) {
      const float x = Value(data_rank(), k / case_.top_k, i);
      wrong += results[slot * kHidden + i] != ExpertValue(own.ids[k], x);
    }
  }
  EXPECT_EQ(wrong, 0) << "of " << rows << " rows on data rank " << data_rank();
}

TEST_P(DispatcherConformanceTest, EveryRowComesBackFromItsExperts) {
  const DispatcherCase& c = GetParam().layout;
  const int data_degree = c.world / c.tensor;
  CommunicatorOptions options;
  options.timeout = absl::Seconds(20);
  for (const std::optional<ExchangeKind>& kind : Kinds(c)) {
    SCOPED_TRACE(kind.has_value() ? std::string(ExchangeKindName(*kind))
                                  : "auto");
    const std::unique_ptr<RankRunner> ranks = GetParam().ranks(c.world);
    ASSERT_EQ(ranks->size(), c.world);
    ranks->Run(options, [&](HostCommunicator& world) {
      DispatcherRank rank(world, c, kind);
      int64_t steps = 0, rows = 0;
      for (const RoutingPattern pattern :
           {RoutingPattern::kEven, RoutingPattern::kOneExpert,
            RoutingPattern::kLastExperts, RoutingPattern::kEven}) {
        for (const auto& step : Steps(data_degree)) {
          rank.Step(step, pattern);
          if (testing::Test::HasFatalFailure()) return;
          ++steps;
          for (int32_t r : step) rows += r;
        }
      }
      // Each once by every slice, and by every copy inside a tensor group.
      float slots = static_cast<float>(rank.load().computed_slots);
      EXPECT_TRUE(world.AllReduce(absl::MakeSpan(&slots, 1)).ok());
      EXPECT_EQ(slots,
                rows * c.top_k * c.es * std::max(1, c.tensor / (c.ep * c.es)));
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
  }
}

}  // namespace moe
