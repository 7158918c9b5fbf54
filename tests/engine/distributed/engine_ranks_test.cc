// An engine on many ranks that are threads, with fake models.
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/runtime/engine_fixture.h"
#include "tests/fakes/fake_ranks.h"

namespace moe {
namespace {

using ::testing::HasSubstr;

struct Ranks {
  int size;
  int tensor_degree;
};

class EngineRanksTest : public testing::TestWithParam<Ranks> {
 protected:
  FakeRanks::Options Options() {
    FakeRanks::Options options;
    options.size = GetParam().size;
    options.tensor_degree = GetParam().tensor_degree;
    options.engine = SmallEngineOptions();
    return options;
  }
  void ExpectAllWorkersOk(FakeRanks& ranks) {
    ranks.Join();
    for (int r = 0; r < GetParam().size; ++r) {
      EXPECT_TRUE(ranks.result(r).ok()) << r << ": " << ranks.result(r);
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Degrees, EngineRanksTest,
                         testing::Values(Ranks{1, 1}, Ranks{2, 1}, Ranks{2, 2},
                                         Ranks{3, 1}, Ranks{3, 3}, Ranks{4, 1},
                                         Ranks{4, 2}, Ranks{4, 4}, Ranks{8, 2}),
                         [](const auto& info) {
                           return absl::StrCat("World", info.param.size,
                                               "Tensor",
                                               info.param.tensor_degree);
                         });

TEST_P(EngineRanksTest, MixedRequestsHaveTheAnswersOfOneRank) {
  const std::vector<Request> requests = MixedRequests(64, 7);
  const std::vector<std::string> expected =
      RunTogether(*MakeFakeEngine(SmallEngineOptions()), requests);
  FakeRanks ranks(Options());
  EXPECT_EQ(RunTogether(ranks.engine(), requests), expected);
  ExpectIdleAndNothingLeaked(ranks.engine());
  EXPECT_EQ(ranks.engine().GetLoad().total_blocks,
            64 * GetParam().size / GetParam().tensor_degree);
  ExpectAllWorkersOk(ranks);
}

TEST_P(EngineRanksTest, TinyPoolsPreemptAndAnswerTheSame) {
  std::vector<Request> requests = MixedRequests(64, 11, 97, 30);
  const std::vector<std::string> expected =
      RunTogether(*MakeFakeEngine(SmallEngineOptions()), requests);
  FakeRanks::Options options = Options();
  options.engine.num_blocks = 14;
  options.always_ring = true;
  FakeRanks ranks(options);
  EXPECT_EQ(RunTogether(ranks.engine(), requests), expected);
  EXPECT_GT(ranks.engine().GetLoad().preemptions, 0);
  ExpectIdleAndNothingLeaked(ranks.engine());
  ExpectAllWorkersOk(ranks);
}

TEST_P(EngineRanksTest, CancelsAndDeadlinesEndTheirRequestsAlone) {
  FakeRanks ranks(Options());
  std::vector<std::shared_ptr<RecordingObserver>> kept, cancelled, late;
  for (int i = 0; i < 8; ++i) {
    kept.push_back(SubmitOk(ranks.engine(),
                            MakeRequest(absl::StrCat("kept", i), 5 + i, 20)));
    cancelled.push_back(SubmitOk(
        ranks.engine(), MakeRequest(absl::StrCat("cancelled", i), 5, 200)));
    Request request = MakeRequest(absl::StrCat("late", i), 5, 10);
    request.deadline = absl::Now() - absl::Seconds(1);
    late.push_back(SubmitOk(ranks.engine(), request));
  }
  for (int i = 0; i < 8; ++i) {
    ranks.engine().Cancel(absl::StrCat("cancelled", i));
  }
  for (int i = 0; i < 8; ++i) {
    EXPECT_TRUE(kept[i]->WaitDone().ok());
    EXPECT_TRUE(absl::IsCancelled(cancelled[i]->WaitDone()));
    EXPECT_TRUE(absl::IsDeadlineExceeded(late[i]->WaitDone()));
  }
  ExpectIdleAndNothingLeaked(ranks.engine());
  ExpectAllWorkersOk(ranks);
}

TEST_P(EngineRanksTest, ExpertsOfARequestAreCountedOnDemand) {
  FakeRanks::Options options = Options();
  options.num_experts = 5;
  FakeRanks ranks(options);
  std::vector<Request> requests;
  for (int i = 0; i < 6; ++i) {
    requests.push_back(MakeRequest(absl::StrCat("r", i), 7 + i, 9));
    requests.back().trace_experts = i % 3 != 0;
  }
  std::vector<std::shared_ptr<RecordingObserver>> observers;
  for (const Request& request : requests) {
    observers.push_back(SubmitOk(ranks.engine(), request));
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(observers[i]->WaitDone().ok());
    const auto load = observers[i]->expert_load();
    ASSERT_EQ(load.has_value(), requests[i].trace_experts);
    if (!load.has_value()) continue;
    std::vector<int64_t> expected(5);
    for (int32_t token : requests[i].prompt) ++expected[token % 5];
    // The last token is never computed.
    const auto tokens = observers[i]->answers()[0].tokens;
    for (size_t t = 0; t + 1 < tokens.size(); ++t) {
      ++expected[tokens[t].token_id % 5];
    }
    ASSERT_EQ(load->rows_by_expert.size(), 1u);
    EXPECT_EQ(load->rows_by_expert[0], expected) << requests[i].id;
  }
  ExpectAllWorkersOk(ranks);
}

TEST_P(EngineRanksTest, IdleRanksUseNoCpuAndStayAlive) {
  FakeRanks::Options options = Options();
  options.idle_timeout = absl::Milliseconds(200);
  FakeRanks ranks(options);
  ASSERT_TRUE(
      SubmitOk(ranks.engine(), MakeRequest("first", 5, 5))->WaitDone().ok());
  absl::SleepFor(absl::Milliseconds(600));
  EXPECT_TRUE(ranks.engine().CheckHealth().ok());
  ASSERT_TRUE(
      SubmitOk(ranks.engine(), MakeRequest("second", 5, 5))->WaitDone().ok());
  ExpectAllWorkersOk(ranks);
  for (int r = 1; r < GetParam().size; ++r) {
    // Two short stretches of steps and a dozen signs of life.
    EXPECT_LT(ranks.cpu_time(r), absl::Milliseconds(200)) << r;
  }
}

class EngineRankFailureTest : public testing::TestWithParam<int> {
 protected:
  // Submits requests, of which all must end with kUnavailable and `text`.
  void ExpectAllFail(FakeRanks& ranks, const std::string& text) {
    std::vector<std::shared_ptr<RecordingObserver>> observers;
    for (int i = 0; i < 12; ++i) {
      auto observer = std::make_shared<RecordingObserver>();
      const absl::Status status = ranks.engine().Submit(
          MakeRequest(absl::StrCat("r", i), 5 + i, 200), observer);
      if (status.ok()) {
        observers.push_back(observer);
      } else {
        EXPECT_TRUE(absl::IsUnavailable(status)) << status;
      }
    }
    EXPECT_FALSE(observers.empty());
    for (const auto& observer : observers) {
      const absl::Status status = observer->WaitDone();
      EXPECT_TRUE(absl::IsUnavailable(status)) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr(text));
      EXPECT_EQ(observer->violation(), "");
    }
    EXPECT_TRUE(absl::IsUnavailable(ranks.engine().CheckHealth()));
    EXPECT_TRUE(absl::IsUnavailable(ranks.engine().Submit(
        MakeRequest("new", 3, 1), std::make_shared<RecordingObserver>())));
    ranks.Join();
  }

  // In step 3, `rank` does `what`.
  FakeRanks::Options Failing(int rank, std::function<absl::Status()> what) {
    FakeRanks::Options options;
    options.size = 4;
    options.tensor_degree = GetParam();
    options.engine = SmallEngineOptions();
    options.hooks = [rank, what](int r) {
      FakeModel::Hooks hooks;
      if (r == rank) {
        hooks.before_step = [what](const Batch& batch) {
          return batch.step_id < 3 ? absl::OkStatus() : what();
        };
      }
      return hooks;
    };
    return options;
  }
};

INSTANTIATE_TEST_SUITE_P(TensorDegrees, EngineRankFailureTest,
                         testing::Values(1, 2, 4));

TEST_P(EngineRankFailureTest, AWorkersErrorEndsAllAndNamesItsRank) {
  for (int rank = 0; rank < 4; ++rank) {
    FakeRanks ranks(
        Failing(rank, [] { return absl::InternalError("the kernel broke"); }));
    ExpectAllFail(ranks, absl::StrCat("rank ", rank, " on host 'host", rank,
                                      "' failed in step 3: the kernel broke"));
    for (int r = 1; r < 4; ++r) {
      EXPECT_THAT(ranks.result(r).ToString(), HasSubstr("the kernel broke"));
    }
  }
}

TEST_P(EngineRankFailureTest, ARankWithoutMemoryEndsAll) {
  for (int rank : {0, 3}) {
    FakeRanks ranks(
        Failing(rank, []() -> absl::Status { throw std::bad_alloc(); }));
    ExpectAllFail(ranks,
                  absl::StrCat("rank ", rank, " on host 'host", rank,
                               "' failed in step 3: there is no memory"));
    for (int r = 1; r < 4; ++r) EXPECT_FALSE(ranks.result(r).ok());
  }
}

TEST_P(EngineRankFailureTest, ARankThatNeverComesEndsAllInTime) {
  FakeRanks::Options options = Failing(-1, nullptr);
  options.timeout = absl::Milliseconds(300);
  options.absent_rank = 2;
  FakeRanks ranks(options);
  ExpectAllFail(ranks, "no message exchanged within 300ms with rank 2");
  for (int r : {1, 3}) EXPECT_FALSE(ranks.result(r).ok()) << r;
}

TEST_P(EngineRankFailureTest, ShutdownGivesUpAStepThatWaitsForPeers) {
  FakeRanks::Options options = Failing(-1, nullptr);
  options.absent_rank = 2;
  options.engine.stall_timeout = absl::Milliseconds(30);
  FakeRanks ranks(options);
  auto observer = SubmitOk(ranks.engine(), MakeRequest("a", 5, 200));
  auto other = SubmitOk(ranks.engine(), MakeRequest("b", 5, 200));
  auto third = SubmitOk(ranks.engine(), MakeRequest("c", 5, 200));
  while (ranks.engine().CheckHealth().ok()) std::this_thread::yield();
  ranks.engine().Shutdown(absl::UnavailableError("going down"));
  for (const auto& o : {observer, other, third}) {
    EXPECT_EQ(o->WaitDone(), absl::UnavailableError("going down"));
  }
  ranks.Join();
  for (int r : {1, 3}) EXPECT_FALSE(ranks.result(r).ok()) << r;
}

TEST(WorkerTest, StopsWithoutAKeepAlive) {
  FakeRanks::Options options;
  options.engine = SmallEngineOptions();
  options.idle_timeout = absl::Milliseconds(100);
  Gate gate;
  options.hooks = [&](int r) {
    return r == 0 ? gate.Hooks() : FakeModel::Hooks();
  };
  FakeRanks ranks(options);
  // Rank 0 hangs in a step in which the other has nothing to do any more.
  auto observer = SubmitOk(ranks.engine(), MakeRequest("a", 5, 200));
  ranks.AwaitEnd(1);
  gate.Open();
  const absl::Status status = observer->WaitDone();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  ranks.Join();
  EXPECT_THAT(ranks.result(1).ToString(), HasSubstr("sign of life for 100ms"));
}

}  // namespace
}  // namespace moe
