#include "engine/distributed/plan_channel.h"

#include <ctime>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "comm/thread_communicator.h"
#include "engine/parallel/process_groups.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/counting_doorbell.h"

namespace moe {
namespace {

using ::testing::HasSubstr;

StepPlanLimits Limits() {
  StepPlanLimits limits;
  limits.data_degree = 2;
  limits.max_rows = 4000;
  limits.max_positions = 5000;
  limits.vocab_size = 1 << 20;
  limits.num_blocks = 400;
  limits.block_size = 16;
  return limits;
}

// Of one prompt, on the second data rank.
StepPlan PromptPlan(int64_t step_id, int32_t num_tokens) {
  StepPlan plan;
  plan.step_id = step_id;
  plan.rank_batches.resize(2);
  SequenceSlice slice;
  slice.num_tokens = num_tokens;
  for (int32_t b = 0; b < num_tokens / 16 + 1; ++b) {
    slice.block_ids.push_back(b);
  }
  for (int32_t i = 0; i < num_tokens; ++i) {
    plan.rank_batches[1].token_ids.push_back(i * 97 % (1 << 20));
    plan.rank_batches[1].positions.push_back(i);
  }
  plan.rank_batches[1].sequences.push_back(std::move(slice));
  plan.rank_batches[1].logit_rows = {num_tokens - 1};
  return plan;
}

class PlanChannelTest : public testing::Test {
 protected:
  static constexpr int kSize = 3;

  void SetUp() override {
    CommunicatorOptions options;
    options.timeout = absl::Seconds(20);
    plans_ = MakeThreadCommunicators(kSize, options);
    for (auto& bell : MakeThreadDoorbells(kSize)) {
      bells_.push_back(std::make_unique<CountingDoorbell>(std::move(bell)));
    }
    auto worlds = MakeThreadCommunicators(kSize, options);
    const auto layout = ParallelLayout::Create(kSize, 1, {});
    ASSERT_TRUE(layout.ok());
    groups_.resize(kSize);
    Run([&](int r) {
      auto groups = ProcessGroups::Create(std::move(worlds[r]),
                                          Topology::OneNode(kSize), *layout);
      ASSERT_TRUE(groups.ok()) << groups.status();
      groups_[r] = *std::move(groups);
    });
  }

  void Run(const std::function<void(int)>& body) {
    std::vector<std::thread> threads;
    for (int r = 0; r < kSize; ++r) threads.emplace_back([&, r] { body(r); });
    for (std::thread& thread : threads) thread.join();
  }

  StepLink Link(int rank) {
    StepLink link;
    link.plans = plans_[rank].get();
    link.doorbell = bells_[rank].get();
    link.groups = groups_[rank].get();
    link.host = "here";
    link.poll_time = poll_time_;
    link.idle_timeout = idle_timeout_;
    link.always_ring = always_ring_;
    return link;
  }

  absl::Duration poll_time_ = absl::Seconds(10);
  absl::Duration idle_timeout_ = absl::Seconds(20);
  bool always_ring_ = false;
  std::vector<std::unique_ptr<HostCommunicator>> plans_;
  std::vector<std::unique_ptr<CountingDoorbell>> bells_;
  std::vector<std::unique_ptr<ProcessGroups>> groups_;
};

TEST_F(PlanChannelTest, PlansOfAllSizesArriveInOrder) {
  const std::vector<int32_t> sizes = {1, 900, 3, 4000, 1300, 1400, 2};
  Run([&](int rank) {
    if (rank == 0) {
      PlanSender sender(Link(0));
      for (size_t i = 0; i < sizes.size(); ++i) {
        ASSERT_TRUE(sender.Send(PromptPlan(i, sizes[i])).ok());
      }
      return;
    }
    PlanReceiver receiver(Link(rank), Limits());
    for (size_t i = 0; i < sizes.size(); ++i) {
      const auto plan = receiver.Receive();
      ASSERT_TRUE(plan.ok()) << plan.status();
      EXPECT_EQ(plan->step_id, static_cast<int64_t>(i));
      EXPECT_EQ(plan->rank_batches[1].token_ids,
                PromptPlan(i, sizes[i]).rank_batches[1].token_ids);
      EXPECT_EQ(plan->rank_batches[0].rows_on_data_ranks,
                (std::vector<int32_t>{0, sizes[i]}));
    }
  });
}

TEST_F(PlanChannelTest, PlansInAStretchNeedNoRing) {
  Run([&](int rank) {
    if (rank == 0) {
      PlanSender sender(Link(0));
      for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(sender.Send(PromptPlan(i, 1)).ok());
      }
      return;
    }
    PlanReceiver receiver(Link(rank), Limits());
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(receiver.Receive().ok());
  });
  EXPECT_EQ(bells_[0]->rings(), 1);  // the first
}

TEST_F(PlanChannelTest, SleepersAreWokenAndRingsAreTakenBack) {
  always_ring_ = true;
  poll_time_ = absl::Milliseconds(1);
  constexpr int kPlans = 20;
  std::vector<int> answered(kSize);
  Run([&](int rank) {
    if (rank == 0) {
      PlanSender sender(Link(0));
      for (int i = 0; i < kPlans; ++i) {
        if (i % 5 == 0) absl::SleepFor(absl::Milliseconds(10));
        ASSERT_TRUE(sender.Send(PromptPlan(i, 1)).ok());
      }
      absl::SleepFor(absl::Milliseconds(30));
      StepPlan end;
      end.kind = StepPlan::Kind::kShutdown;
      ASSERT_TRUE(sender.Send(end).ok());
      return;
    }
    PlanReceiver receiver(Link(rank), Limits());
    for (int i = 0; i < kPlans; ++i) ASSERT_TRUE(receiver.Receive().ok());
    const auto end = receiver.Receive();
    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_EQ(end->kind, StepPlan::Kind::kShutdown);
  });
  EXPECT_EQ(bells_[0]->rings(), kPlans + 1);
  // All except the last, which may have arrived before its ring.
  for (int r = 1; r < kSize; ++r) EXPECT_GE(bells_[r]->rings(), kPlans) << r;
}

TEST_F(PlanChannelTest, SilenceAndAbortsEndTheWait) {
  poll_time_ = absl::Milliseconds(1);
  idle_timeout_ = absl::Milliseconds(50);
  Run([&](int rank) {
    if (rank != 2) return;
    const absl::Status status =
        PlanReceiver(Link(2), Limits()).Receive().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
    EXPECT_THAT(std::string(status.message()), HasSubstr("rank 2 on host"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("for 50ms"));
  });
  // The abort reaches the other ranks.
  idle_timeout_ = absl::Seconds(20);
  const absl::Status status =
      PlanReceiver(Link(1), Limits()).Receive().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAborted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("for 50ms"));
}

TEST_F(PlanChannelTest, APlanBeyondTheLimitsIsRefused) {
  Run([&](int rank) {
    if (rank == 0) {
      PlanSender sender(Link(0));
      sender.Send(PromptPlan(7, 30)).IgnoreError();
      return;
    }
    StepPlanLimits limits = Limits();
    limits.max_rows = 29;
    const absl::Status status =
        PlanReceiver(Link(rank), limits).Receive().status();
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(status.ToString(), HasSubstr("num_tokens"));
  });
}

}  // namespace
}  // namespace moe
