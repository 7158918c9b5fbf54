// A rank that is killed, stopped, aborts or runs out of memory, at any moment
// of a server of several ranks: real processes, real clients. With
// --repetitions=N each case runs N times; rank_faults_soak_test does.
#include <gtest/gtest.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "proto/moe/v1/generation.grpc.pb.h"
#include "tests/integration/client_load.h"
#include "tests/integration/health_watch.h"
#include "tests/integration/server_process.h"
#include "tests/support/golden.h"

namespace moe {
namespace {

constexpr int kRanks = 3;
constexpr absl::Duration kWatchdog = absl::Seconds(1);
// From a rank's death until every client knows.
constexpr absl::Duration kToldWithin = absl::Seconds(2);
// From then until no process is left.
constexpr absl::Duration kEndWithin = absl::Seconds(10);

int num_repetitions = 1;

std::string Config() {
  return absl::StrCat("model { path: \"", TestDataPath("configs/models"),
                      "/prose-pr-moe\" weight_dtype: F32 }\n",
                      "server { port: 0 port_file: \"port\" }\n",
                      "engine { threads: 1 kv_cache_bytes: 30000000 }\n",
                      "parallel { expert_degree: ", kRanks,
                      " watchdog: \"1s\" connect_timeout: \"5s\" }\n");
}

enum class Moment { kLoad, kPrefill, kDecode, kIdle };

struct FaultCase {
  const char* name;
  int signal;
  int victim;  // a rank
  Moment moment;
};

v1::GenerateRequest MakeRequest(int prompt_tokens, int new_tokens) {
  v1::GenerateRequest request;
  for (int i = 0; i < prompt_tokens; ++i) {
    request.mutable_token_ids()->add_ids(100 + i % 1000);
  }
  request.mutable_sampling()->set_temperature(0);
  request.mutable_stopping()->set_max_new_tokens(new_tokens);
  request.mutable_stopping()->set_ignore_eos(true);
  request.mutable_output()->set_token_ids(true);
  return request;
}

// mpirun may end before the last of those that it has killed.
void ExpectGone(const std::vector<pid_t>& ranks) {
  const absl::Time deadline = absl::Now() + kEndWithin;
  for (const pid_t rank : ranks) {
    while (IsAlive(rank) && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(5));
    }
    EXPECT_FALSE(IsAlive(rank)) << "process " << rank;
  }
}

// One server that loses a rank.
class FaultRun {
 public:
  explicit FaultRun(const FaultCase& fault)
      : fault_(fault), process_(Config(), {.ranks = kRanks}) {}

  void WhileLoading(absl::Duration delay) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (process_.RankPids().size() < kRanks && absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    ranks_ = process_.RankPids();
    ASSERT_EQ(ranks_.size(), static_cast<size_t>(kRanks)) << process_.Log();
    absl::SleepFor(delay);
    Strike();
    ExpectTheEnd();
  }

  void WhileServing() {
    const int port = process_.WaitForPort();
    ASSERT_NE(port, 0) << process_.Log();
    ranks_ = process_.RankPids();
    ASSERT_EQ(ranks_.size(), static_cast<size_t>(kRanks));
    HealthWatch health(port);
    EXPECT_TRUE(health.serving());
    std::vector<CallEnd> ends;
    if (fault_.moment == Moment::kIdle) {
      Strike();
    } else {
      const bool prefill = fault_.moment == Moment::kPrefill;
      ClientLoad clients(port, 4,
                         prefill ? MakeRequest(100, 1) : MakeRequest(2, 100));
      Strike();
      ends = clients.AwaitEnds();
    }
    const absl::Time not_serving = health.AwaitNotServing();
    const absl::Duration bound =
        (fault_.signal == SIGSTOP ? kWatchdog : absl::ZeroDuration()) +
        kToldWithin;
    EXPECT_LT(not_serving - struck_, bound);
    int num_told = 0;
    for (const CallEnd& end : ends) {
      EXPECT_EQ(end.status.error_code(), grpc::StatusCode::UNAVAILABLE)
          << end.status.error_message();
      EXPECT_LT(end.time - struck_, bound) << end.status.error_message();
      num_told += absl::StrContains(
          end.status.error_message(),
          absl::StrCat("rank ", fault_.victim, " of ", kRanks, " (host "));
    }
    // Who calls just when the server goes finds nobody; rank 0 itself can tell
    // nobody when it dies.
    if (!ends.empty() && fault_.victim != 0) {
      EXPECT_GT(num_told, 0) << ends[0].status.error_message();
    }
    ExpectTheEnd();
  }

 private:
  void Strike() {
    struck_ = absl::Now();
    kill(ranks_[fault_.victim], fault_.signal);
  }

  // Every process ends, and mpirun says that it was no good end.
  void ExpectTheEnd() {
    if (fault_.signal == SIGSTOP && fault_.moment == Moment::kLoad) {
      ExpectTheOthersToEnd();
    } else {
      EXPECT_GT(process_.WaitForExit(kEndWithin), 0) << process_.Log();
      ExpectGone(ranks_);
    }
    if (testing::Test::HasFailure()) std::puts(process_.Log().c_str());
  }

  // mpirun (4.1.4) crashes or hangs now and then when a process has been
  // stopped within MPI's own start; then the stopped one is left to whoever
  // watches mpirun.
  void ExpectTheOthersToEnd() {
    const pid_t victim = ranks_[fault_.victim];
    std::vector<pid_t> others = ranks_;
    std::erase(others, victim);
    ExpectGone(others);
    const int status = process_.WaitForExit(kEndWithin);
    EXPECT_NE(status, 0) << process_.Log();
    if (status < 0 || status == 128 + SIGSEGV) {
      kill(victim, SIGKILL);
    }
    ExpectGone({victim});
  }

  const FaultCase& fault_;
  ServerProcess process_;
  std::vector<pid_t> ranks_;
  absl::Time struck_;
};

void ExpectThatAServerServes() {
  ServerProcess process(Config(), {.ranks = kRanks});
  const int port = process.WaitForPort();
  ASSERT_NE(port, 0) << process.Log();
  grpc::ClientContext context;
  v1::GenerateResponse response;
  const grpc::Status status =
      v1::Inference::NewStub(Connect(port))
          ->Generate(&context, MakeRequest(5, 5), &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  process.Signal(SIGUSR1);
  EXPECT_EQ(process.WaitForExit(), 0) << process.Log();
}

class RankFaultTest : public testing::TestWithParam<FaultCase> {};

TEST_P(RankFaultTest, EndsTheServerWithAReasonAndARestartServes) {
  for (int i = 0; i < num_repetitions && !HasFailure(); ++i) {
    FaultRun run(GetParam());
    if (GetParam().moment == Moment::kLoad) {
      // From MPI's start to the first requests.
      run.WhileLoading(absl::Milliseconds(60 * (i % 20)));
    } else {
      run.WhileServing();
    }
  }
  ExpectThatAServerServes();
}

INSTANTIATE_TEST_SUITE_P(
    Faults, RankFaultTest,
    testing::Values(
        FaultCase{"KilledWhileLoading", SIGKILL, 1, Moment::kLoad},
        FaultCase{"KilledInPrefill", SIGKILL, 2, Moment::kPrefill},
        FaultCase{"KilledInDecode", SIGKILL, 1, Moment::kDecode},
        FaultCase{"KilledWhenIdle", SIGKILL, 1, Moment::kIdle},
        FaultCase{"StoppedWhileLoading", SIGSTOP, 2, Moment::kLoad},
        FaultCase{"StoppedInPrefill", SIGSTOP, 1, Moment::kPrefill},
        FaultCase{"StoppedInDecode", SIGSTOP, 1, Moment::kDecode},
        FaultCase{"StoppedWhenIdle", SIGSTOP, 2, Moment::kIdle},
        // What an uncaught exception or a failed check does.
        FaultCase{"AbortsInPrefill", SIGABRT, 1, Moment::kPrefill},
        FaultCase{"AbortsInDecode", SIGABRT, 2, Moment::kDecode},
        FaultCase{"RankZeroKilledInDecode", SIGKILL, 0, Moment::kDecode},
        FaultCase{"RankZeroStoppedInDecode", SIGSTOP, 0, Moment::kDecode}),
    [](const auto& info) { return info.param.name; });

TEST(RankLauncherTest, RanksEndWithAReasonWhenMpirunIsKilled) {
  for (int i = 0; i < num_repetitions && !testing::Test::HasFailure(); ++i) {
    ServerProcess process(Config(), {.ranks = kRanks});
    const int port = process.WaitForPort();
    ASSERT_NE(port, 0) << process.Log();
    const std::vector<pid_t> ranks = process.RankPids();
    ClientLoad clients(port, 4, MakeRequest(2, 100));
    const absl::Time struck = absl::Now();
    process.Signal(SIGKILL);
    for (const CallEnd& end : clients.AwaitEnds()) {
      EXPECT_EQ(end.status.error_code(), grpc::StatusCode::UNAVAILABLE);
      EXPECT_LT(end.time - struck, kToldWithin);
    }
    EXPECT_EQ(process.WaitForExit(), 128 + SIGKILL);
    ExpectGone(ranks);
  }
}

// Whichever rank it is that fails, and whichever ends first.
TEST(RankStartTest, AKilledRankEndsTheOthersAsAStartThatFailed) {
  for (const int victim : {0, kRanks - 1}) {
    ServerProcess process(Config(), {.ranks = kRanks, .note_exits = true});
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    // The ranks have found each other.
    while (!absl::StrContains(process.Log(), "event=loading") &&
           absl::Now() < deadline) {
      absl::SleepFor(absl::Milliseconds(1));
    }
    const std::vector<pid_t> ranks = process.RankPids();
    ASSERT_EQ(ranks.size(), static_cast<size_t>(kRanks)) << process.Log();
    kill(ranks[victim], SIGKILL);
    EXPECT_GT(process.WaitForExit(absl::Seconds(20)), 0) << process.Log();
    // Where loading takes next to no time, the kill may come late.
    const bool late = absl::StrContains(process.Log(), "event=listening");
    std::vector<int> expected(kRanks, late ? 3 : 1);
    expected[victim] = 128 + SIGKILL;
    EXPECT_EQ(process.RankExits(kRanks), expected) << process.Log();
  }
}

TEST(RankStartTest, AKilledRankEndsTheOthersAsARankThatFailedOnceTheyServe) {
  ServerProcess process(Config(), {.ranks = kRanks, .note_exits = true});
  ASSERT_NE(process.WaitForPort(), 0) << process.Log();
  absl::SleepFor(absl::Milliseconds(50));  // the port comes first
  kill(process.RankPids()[1], SIGKILL);
  EXPECT_GT(process.WaitForExit(absl::Seconds(20)), 0) << process.Log();
  EXPECT_EQ(process.RankExits(kRanks), (std::vector<int>{3, 128 + SIGKILL, 3}))
      << process.Log();
}

// mpirun leaves a job less time the more of its processes end; rank 0 must
// have told all clients by then.
TEST(RankTellingTest, EveryClientOfManyRanksHearsWhichOneWasKilled) {
  constexpr int kManyRanks = 8;
  constexpr int kVictim = kManyRanks - 1;
  for (int i = 0; i < num_repetitions && !testing::Test::HasFailure(); ++i) {
    std::string config = Config();
    const std::string degree = absl::StrCat("expert_degree: ", kRanks);
    config.replace(config.find(degree), degree.size(), "");
    ServerProcess process(config, {.ranks = kManyRanks});
    const int port = process.WaitForPort();
    ASSERT_NE(port, 0) << process.Log();
    const std::vector<pid_t> ranks = process.RankPids();
    ASSERT_EQ(ranks.size(), static_cast<size_t>(kManyRanks));
    ClientLoad clients(port, 6, MakeRequest(2, 100));
    kill(ranks[kVictim], SIGKILL);
    for (const CallEnd& end : clients.AwaitEnds()) {
      EXPECT_EQ(end.status.error_code(), grpc::StatusCode::UNAVAILABLE);
      EXPECT_TRUE(absl::StrContains(
          end.status.error_message(),
          absl::StrCat("rank ", kVictim, " of ", kManyRanks, " (host ")))
          << end.status.error_message();
    }
    EXPECT_GT(process.WaitForExit(kEndWithin), 0) << process.Log();
    ExpectGone(ranks);
    // Not what mpirun's signal is to a server that is well.
    EXPECT_FALSE(absl::StrContains(process.Log(), "event=draining"))
        << process.Log();
  }
}

TEST(RankTellingTest, AStepThatRunsOutOfTimeEndsTheJobBeforeTheWatchdog) {
  std::string config = Config();
  const std::string watchdog = "watchdog: \"1s\"";
  config.replace(config.find(watchdog), watchdog.size(),
                 "watchdog: \"60s\" step_timeout: \"1s\"");
  ServerProcess process(config, {.ranks = kRanks});
  const int port = process.WaitForPort();
  ASSERT_NE(port, 0) << process.Log();
  const std::vector<pid_t> ranks = process.RankPids();
  ClientLoad clients(port, 4, MakeRequest(2, 100));
  kill(ranks[1], SIGSTOP);
  const absl::Time struck = absl::Now();
  for (const CallEnd& end : clients.AwaitEnds()) {
    EXPECT_EQ(end.status.error_code(), grpc::StatusCode::UNAVAILABLE);
    EXPECT_LT(end.time - struck, absl::Seconds(1) + kToldWithin)
        << end.status.error_message();
  }
  EXPECT_EQ(process.WaitForExit(kEndWithin), 3) << process.Log();
  ExpectGone(ranks);
}

TEST(RankStartTest, WhatAllRanksAgreedOnIsToldOnceAndEndsAllAlike) {
  // Which all find only when they lay the model.
  std::string config = Config();
  config.replace(config.find("expert_degree"), 0, "tensor_degree: 2 ");
  ServerProcess process(config, {.ranks = kRanks, .note_exits = true});
  EXPECT_EQ(process.WaitForExit(absl::Seconds(20)), 1) << process.Log();
  EXPECT_EQ(process.RankExits(kRanks), std::vector<int>(kRanks, 1))
      << process.Log();
  const std::string log = process.Log();
  EXPECT_TRUE(absl::StrContains(log, "rank 0 on host '")) << log;
  EXPECT_FALSE(absl::StrContains(log, "failed: rank ")) << log;
  // Each says so itself, of itself.
  for (int r = 0; r < kRanks; ++r) {
    EXPECT_TRUE(absl::StrContains(
        log, absl::StrCat("rank=", r, " event=failed status=INVALID_ARGUMENT")))
        << log;
  }
  EXPECT_FALSE(absl::StrContains(log, "event=rank_failed")) << log;
}

TEST(RankMemoryTest, ARankWithoutMemoryEndsTheStart) {
  for (int i = 0; i < num_repetitions && !testing::Test::HasFailure(); ++i) {
    // Too little for the weights; later also for MPI, or for the program. (Of
    // address space, which must not depend on which thread allocates first.)
    const int64_t mebibytes = 170 - 5 * (i % 20);
    ServerProcess process(
        Config(),
        {.ranks = kRanks,
         .last_rank_prefix = {"env", "MALLOC_ARENA_MAX=1", "prlimit",
                              absl::StrCat("--as=", mebibytes << 20)}});
    EXPECT_GT(process.WaitForExit(absl::Seconds(20)), 0) << process.Log();
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    if (i == 0) {
      EXPECT_TRUE(absl::StrContains(process.Log(), "rank 2 ")) << process.Log();
    }
#endif
  }
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (absl::StartsWith(flag, "--repetitions=")) {
      moe::num_repetitions = std::atoi(flag.c_str() + flag.find('=') + 1);
    }
  }
  return RUN_ALL_TESTS();
}
