#include "server/generation/rank_description.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/distributed/rank_runtime.h"
#include "engine/loading/load_engine_options.h"  // ExchangeKind
#include "tests/fakes/fake_engine.h"

namespace moe {
namespace {

// Two tensor ranks that share the two experts of layer 1.
class RankDescriptionTest : public testing::Test {
 protected:
  void SetUp() override {
    auto ranks = RankRuntime::MakeThreads(2, Topology::OneNode(2));
    ASSERT_TRUE(ranks.ok()) << ranks.status();
    ranks_ = *std::move(ranks);
    model_ = FakeServedModel(engine_, nullptr);
    model_.ranks = ranks_[0].get();
    model_.info.tensor_degree = 2;
    model_.info.moe_layers.push_back(
        {.layer = 1, .num_experts = 2, .expert_degree = 2});
  }

  static RankProgress Progress(int rank) {
    MoeLayerLoad layer;
    layer.layer = 1;
    layer.rows_by_expert = {30, 10};
    layer.computed_slots = rank == 0 ? 30 : 10;
    layer.exchanges[static_cast<int>(ExchangeKind::kReplicated)] = 5;
    layer.messages = 5;
    layer.bytes = 100;
    layer.waited = absl::Seconds(1 + rank);
    RankProgress progress;
    progress.state = RankState::kInStep;
    progress.last_step = 9 + rank;
    progress.num_threads = 3;
    progress.exchange_wait = absl::Seconds(2);
    progress.expert_load = ExpertLoad{{layer}};
    return progress;
  }

  bool AwaitReport(int rank) {
    const absl::Time end = absl::Now() + absl::Seconds(20);
    while (ranks_[0]->Ranks()[rank].progress.last_step < 0) {
      if (absl::Now() > end) return false;
      absl::SleepFor(absl::Milliseconds(1));
    }
    return true;
  }

  FakeEngine engine_;
  std::vector<std::unique_ptr<RankRuntime>> ranks_;
  ServedModel model_;
};

TEST_F(RankDescriptionTest, TellsWhatEachRankHasReported) {
  EXPECT_EQ(DescribeRanks(model_).ranks(1).state(), v1::Rank::STARTING);
  EXPECT_FALSE(DescribeRanks(model_).ranks(1).has_last_step());
  ranks_[1]->ReportProgress(Progress(1));
  ASSERT_TRUE(AwaitReport(1));
  const v1::GetRanksResponse ranks = DescribeRanks(model_);
  ASSERT_EQ(ranks.ranks_size(), 2);
  const v1::Rank& rank = ranks.ranks(1);
  EXPECT_EQ(rank.rank(), 1u);
  EXPECT_NE(rank.host(), "");
  EXPECT_GT(rank.pid(), 0u);
  EXPECT_EQ(rank.state(), v1::Rank::IN_STEP);
  EXPECT_EQ(rank.last_step(), 10u);
  EXPECT_EQ(rank.threads(), 3u);
  EXPECT_EQ(rank.exchange_wait_seconds(), 2);
  EXPECT_LT(rank.heartbeat_age_seconds(), 20);
}

TEST_F(RankDescriptionTest, SumsUpWhereTheTokensWent) {
  EXPECT_TRUE(absl::IsUnavailable(DescribeExpertLoad(model_).status()));
  for (int r : {0, 1}) ranks_[r]->ReportProgress(Progress(r));
  ASSERT_TRUE(AwaitReport(1));
  const auto load = DescribeExpertLoad(model_);
  ASSERT_TRUE(load.ok()) << load.status();
  ASSERT_EQ(load->layers_size(), 1);
  const v1::MoeLayerLoad& layer = load->layers(0);
  EXPECT_EQ(layer.layer(), 1u);
  // Both ranks have the same rows, which count once.
  EXPECT_EQ(layer.tokens_by_expert(0), 30u);
  EXPECT_EQ(layer.tokens_by_expert(1), 10u);
  EXPECT_EQ(layer.expert_imbalance(), 1.5);
  EXPECT_EQ(layer.tokens_by_rank(0), 30u);
  EXPECT_EQ(layer.rank_imbalance(), 1.5);
  ASSERT_EQ(layer.exchanges_size(), 1);
  EXPECT_EQ(layer.exchanges(0).kind(), "replicated");
  EXPECT_EQ(layer.exchanges(0).steps(), 5u);
  EXPECT_EQ(layer.messages(), 10u);
  EXPECT_EQ(layer.bytes(), 200u);
  EXPECT_EQ(layer.wait_seconds(), 2);
}

TEST_F(RankDescriptionTest, ARankThatHasNotToldYetHasDoneNothing) {
  ranks_[0]->ReportProgress(Progress(0));
  const auto load = DescribeExpertLoad(model_);
  ASSERT_TRUE(load.ok()) << load.status();
  ASSERT_EQ(load->layers_size(), 1);
  const v1::MoeLayerLoad& layer = load->layers(0);
  EXPECT_EQ(layer.tokens_by_expert(0), 30u);
  ASSERT_EQ(layer.tokens_by_rank_size(), 2);
  EXPECT_EQ(layer.tokens_by_rank(0), 30u);
  EXPECT_EQ(layer.tokens_by_rank(1), 0u);
}

TEST_F(RankDescriptionTest, TellsTheLayout) {
  const v1::Layout layout = DescribeLayout(model_);
  EXPECT_EQ(layout.tensor_degree(), 2u);
  EXPECT_EQ(layout.data_degree(), 1u);
  EXPECT_EQ(layout.nodes(), 1u);
  ASSERT_EQ(layout.moe_layers_size(), 1);
  EXPECT_EQ(layout.moe_layers(0).expert_degree(), 2u);
  EXPECT_EQ(layout.moe_layers(0).expert_data_degree(), 1u);
}

}  // namespace
}  // namespace moe
