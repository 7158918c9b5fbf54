// Ranks that are threads; mpi_rank_runtime_test has processes.
#include "engine/distributed/rank_runtime.h"

#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "engine/distributed/rank_agreement.h"

namespace moe {
namespace {

template <typename Condition>
bool Eventually(Condition condition) {
  for (const absl::Time end = absl::Now() + absl::Seconds(20); !condition();) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(1));
  }
  return true;
}

BootstrapInfo Info() {
  BootstrapInfo info;
  info.version = "1";
  return info;
}

TEST(RankRuntimeTest, AProcessAloneIsAWorldOfOne) {
  auto runtime = RankRuntime::Init(nullptr, nullptr, absl::Minutes(1));
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  EXPECT_EQ((*runtime)->size(), 1);
  ASSERT_TRUE((*runtime)->Start(Info()).ok());
  EXPECT_EQ((*runtime)->topology().world_size(), 1);
  EXPECT_TRUE((*runtime)->MakeGroup("plans").ok());
  RankProgress progress;
  progress.last_step = 5;
  (*runtime)->ReportProgress(progress);
  ASSERT_EQ((*runtime)->Ranks().size(), 1u);
  EXPECT_EQ((*runtime)->Ranks()[0].progress.last_step, 5);
  EXPECT_NE((*runtime)->Ranks()[0].host, "");
  EXPECT_TRUE((*runtime)->Finish().ok());
}

TEST(RankRuntimeTest, StartSaysWhyARankCannot) {
  auto runtime = RankRuntime::Init(nullptr, nullptr, absl::Minutes(1));
  ASSERT_TRUE(runtime.ok());
  EXPECT_EQ((*runtime)->Start(absl::NotFoundError("no file")),
            absl::NotFoundError("no file"));
  BootstrapInfo info = Info();
  info.expected_world_size = 2;
  EXPECT_TRUE(absl::StrContains((*runtime)->Start(info).message(),
                                "this job has 1 rank: start it with"));
  info = Info();
  info.node_shape = NodeShape{2, 2};
  EXPECT_TRUE(absl::StrContains((*runtime)->Start(info).message(),
                                "parallel.node_shape is 2x2"));
}

class ThreadRanksTest : public testing::Test {
 protected:
  void SetUp() override {
    auto ranks = RankRuntime::MakeThreads(3, Topology::OneNode(3));
    ASSERT_TRUE(ranks.ok()) << ranks.status();
    ranks_ = *std::move(ranks);
  }
  std::vector<std::unique_ptr<RankRuntime>> ranks_;
};

TEST_F(ThreadRanksTest, RankZeroKnowsWhatTheOthersReport) {
  RankProgress progress;
  progress.state = RankState::kInStep;
  progress.last_step = 7;
  MoeLayerLoad layer;
  layer.layer = 1;
  layer.rows_by_expert = {4, 5};
  progress.expert_load = ExpertLoad{{layer}};
  ranks_[2]->ReportProgress(progress);
  // The load stays known while later reports leave it out.
  progress.expert_load.reset();
  progress.last_step = 8;
  ranks_[2]->ReportProgress(progress);
  EXPECT_TRUE(Eventually(
      [&] { return ranks_[0]->Ranks()[2].progress.last_step == 8; }));
  const std::vector<RankStatus> all = ranks_[0]->Ranks();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[2].rank, 2);
  EXPECT_EQ(all[2].progress.state, RankState::kInStep);
  ASSERT_TRUE(all[2].progress.expert_load.has_value());
  EXPECT_EQ(all[2].progress.expert_load->layers[0].rows_by_expert,
            layer.rows_by_expert);
  EXPECT_EQ(ranks_[1]->Ranks().size(), 1u);
}

TEST_F(ThreadRanksTest, AFailureIsHeardOnceOnEveryRank) {
  std::vector<std::atomic<int>> calls(3);
  std::vector<std::string> reasons(3);
  std::vector<std::unique_ptr<RankRuntime::Subscription>> subscriptions;
  for (int r = 0; r < 3; ++r) {
    subscriptions.push_back(
        ranks_[r]->OnFailure([&, r](const absl::Status& reason) {
          reasons[r] = std::string(reason.message());
          ++calls[r];
        }));
  }
  std::atomic<int> unwanted = 0;
  ranks_[0]->OnFailure([&](const absl::Status&) { ++unwanted; }).reset();
  ranks_[1]->Fail(absl::ResourceExhaustedError("no memory"));
  ranks_[1]->Fail(absl::InternalError("again"));
  for (int r = 0; r < 3; ++r) {
    EXPECT_TRUE(Eventually([&] { return calls[r] > 0; })) << r;
    EXPECT_TRUE(absl::StrContains(reasons[r], "rank 1 of 3")) << reasons[r];
    EXPECT_TRUE(absl::StrContains(reasons[r], "failed: no memory"));
    EXPECT_FALSE(ranks_[r]->status().ok());
  }
  EXPECT_TRUE(Eventually([&] {
    return ranks_[0]->Ranks()[1].progress.state == RankState::kFailed;
  }));
  // Who comes late hears of it at once.
  absl::Status late;
  const auto subscription =
      ranks_[0]->OnFailure([&](const absl::Status& reason) { late = reason; });
  EXPECT_TRUE(absl::IsUnavailable(late)) << late;
  subscriptions.clear();
  ranks_.clear();
  for (int r = 0; r < 3; ++r) EXPECT_EQ(calls[r], 1);
  EXPECT_EQ(unwanted, 0);
}

TEST_F(ThreadRanksTest, TheExitStatusTellsWhetherTheStartWasOver) {
  for (const auto& rank : ranks_) EXPECT_EQ(rank->failure_exit_status(), 1);
  ranks_[0]->MarkReady();
  EXPECT_TRUE(Eventually([&] {
    return ranks_[1]->failure_exit_status() == 3 &&
           ranks_[2]->failure_exit_status() == 3;
  }));
  ranks_[2]->Fail(absl::InternalError("lost"));
  for (const auto& rank : ranks_) {
    EXPECT_TRUE(Eventually([&] { return !rank->status().ok(); }));
    EXPECT_EQ(rank->failure_exit_status(), 3);
  }
}

TEST_F(ThreadRanksTest, AFailureInTheStartStaysOne) {
  ranks_[1]->Fail(absl::InternalError("no disk"));
  EXPECT_TRUE(Eventually([&] { return !ranks_[0]->status().ok(); }));
  ranks_[0]->MarkReady();
  for (const auto& rank : ranks_) EXPECT_EQ(rank->failure_exit_status(), 1);
}

TEST(RankRuntimeTest, AloneTheExitStatusTellsTheSame) {
  auto runtime = RankRuntime::Init(nullptr, nullptr, absl::Minutes(1));
  ASSERT_TRUE(runtime.ok());
  ASSERT_TRUE((*runtime)->Start(Info()).ok());
  EXPECT_EQ((*runtime)->failure_exit_status(), 1);
  (*runtime)->MarkReady();
  EXPECT_EQ((*runtime)->failure_exit_status(), 3);
  EXPECT_TRUE((*runtime)->Finish().ok());
}

TEST_F(ThreadRanksTest, WhatAllHaveAgreedOnIsToldAsItIs) {
  std::vector<std::thread> threads;
  for (auto& rank : ranks_) {
    threads.emplace_back([&rank] {
      const auto group = rank->MakeGroup("start");
      ASSERT_TRUE(group.ok());
      RankReport report;
      report.host = "b";
      if (rank->rank() == 1) report.status = absl::NotFoundError("no file");
      const absl::Status agreed = ExchangeReports(**group, report).status();
      rank->Fail(agreed);
      EXPECT_EQ(rank->status().message(), "rank 1 on host 'b': no file");
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ThreadRanksTest, RanksPartInOrder) {
  std::vector<std::thread> threads;
  for (auto& rank : ranks_) {
    threads.emplace_back([&rank] {
      const auto group = rank->MakeGroup("plans");
      ASSERT_TRUE(group.ok());
      EXPECT_TRUE((*group)->Barrier().ok());
      EXPECT_TRUE(rank->Finish().ok());
      EXPECT_TRUE(rank->status().ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace moe
