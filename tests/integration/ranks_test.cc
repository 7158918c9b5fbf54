// The real program as many ranks of mpirun, with a real PR-MoE checkpoint.
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "proto/moe/v1/control.grpc.pb.h"
#include "proto/moe/v1/generation.grpc.pb.h"
#include "tests/integration/golden_answers.h"
#include "tests/integration/server_process.h"
#include "tests/support/golden.h"

namespace moe {
namespace {

constexpr char kModel[] = "prmoe_head";

std::string Config(const std::string& more) {
  return absl::StrCat("model { path: \"", GoldenDirectory(kModel),
                      "\" weight_dtype: F32 }\n",
                      "server { port: 0 port_file: \"port\" }\n",
                      "engine { kv_cache_bytes: 4000000 }\n", more);
}

std::shared_ptr<grpc::Channel> Connect(int port) {
  return grpc::CreateChannel(absl::StrCat("127.0.0.1:", port),
                             grpc::InsecureChannelCredentials());
}

struct LayoutCase {
  const char* name;
  int ranks;
  const char* parallel;
};

class RanksTest : public testing::TestWithParam<LayoutCase> {};

TEST_P(RanksTest, AnswersAsOneProcessDoes) {
  const auto& [name, ranks, parallel] = GetParam();
  ServerProcess process(Config(parallel), {.ranks = ranks});
  const int port = process.WaitForPort();
  ASSERT_NE(port, 0) << process.Log();
  const auto channel = Connect(port);
  ExpectGoldenAnswers(kModel, *v1::Inference::NewStub(channel));

  const auto control = v1::Control::NewStub(channel);
  // Reports of the last step are on their way for a heartbeat.
  v1::GetRanksResponse response;
  const absl::Time deadline = absl::Now() + absl::Seconds(20);
  bool same_step = false;
  while (!same_step && absl::Now() < deadline) {
    grpc::ClientContext context;
    ASSERT_TRUE(control->GetRanks(&context, {}, &response).ok());
    same_step =
        std::all_of(response.ranks().begin(), response.ranks().end(),
                    [&](const v1::Rank& rank) {
                      return rank.has_last_step() &&
                             rank.last_step() == response.ranks(0).last_step();
                    });
    absl::SleepFor(absl::Milliseconds(20));
  }
  EXPECT_TRUE(same_step) << response.ShortDebugString();
  ASSERT_EQ(response.ranks_size(), std::max(ranks, 1));
  std::set<uint64_t> pids;
  for (const v1::Rank& rank : response.ranks()) {
    pids.insert(rank.pid());
    EXPECT_NE(rank.host(), "");
    EXPECT_GT(rank.weight_bytes(), 0u);
    EXPECT_GT(rank.threads(), 0u);
    EXPECT_LT(rank.heartbeat_age_seconds(), 10);
  }
  EXPECT_EQ(pids.size(), static_cast<size_t>(response.ranks_size()));

  grpc::ClientContext load_context;
  v1::ExpertLoad load;
  const grpc::Status told = control->GetExpertLoad(&load_context, {}, &load);
  ASSERT_TRUE(told.ok()) << told.error_message();
  ASSERT_EQ(load.layers_size(), 3);
  for (const v1::MoeLayerLoad& layer : load.layers()) {
    int64_t by_expert = 0;
    for (const uint64_t n : layer.tokens_by_expert()) by_expert += n;
    EXPECT_GT(by_expert, 0);
    EXPECT_EQ(layer.tokens_by_rank_size(), std::max(ranks, 1));
    EXPECT_GE(layer.expert_imbalance(), 1);
  }
  grpc::ClientContext info_context;
  v1::ServerInfo info;
  ASSERT_TRUE(control->GetServerInfo(&info_context, {}, &info).ok());
  EXPECT_EQ(info.world_size(), static_cast<uint32_t>(std::max(ranks, 1)));
  EXPECT_EQ(info.layout().tensor_degree() * info.layout().data_degree(),
            info.world_size());
  EXPECT_EQ(info.layout().moe_layers_size(), 3);

  // mpirun passes this one on to all; rank 0 drains, and lets the others go.
  process.Signal(SIGUSR1);
  EXPECT_EQ(process.WaitForExit(), 0) << process.Log();
  EXPECT_TRUE(absl::StrContains(process.Log(), "finished_all=true"))
      << process.Log();
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, RanksTest,
    testing::Values(LayoutCase{"One", 0, ""}, LayoutCase{"MpirunOfOne", 1, ""},
                    LayoutCase{"Two", 2, ""},
                    LayoutCase{"TwoExpert", 2, "parallel { expert_degree: 2 }"},
                    LayoutCase{
                        "FourTensorAndExpert", 4,
                        "parallel { world_size: 4 nodes: 1 tensor_degree: 2 "
                        "expert_degree: 2 }"}),
    [](const auto& info) { return info.param.name; });

// All ranks say `message`, and the job ends with 1.
void ExpectNoStart(const std::string& config, const Launch& launch,
                   const std::string& message) {
  ServerProcess process(config, launch);
  EXPECT_EQ(process.WaitForExit(), 1) << process.Log();
  const std::string log = process.Log();
  for (int rank = 0; rank < launch.ranks; ++rank) {
    bool said = false;
    size_t line = 0;
    while (!said && line != std::string::npos) {
      const size_t end = log.find('\n', line);
      const std::string text = log.substr(line, end - line);
      said = absl::StrContains(text, absl::StrCat("rank=", rank, " ")) &&
             absl::StrContains(text, message);
      line = end == std::string::npos ? end : end + 1;
    }
    EXPECT_TRUE(said) << "rank " << rank << ": " << log;
  }
}

TEST(RanksStartTest, ADifferentConfigurationIsToldByEveryRank) {
  ExpectNoStart(Config(""),
                {.ranks = 3, .last_rank_config = Config("log { level: INFO }")},
                "give all ranks the same file");
}

TEST(RanksStartTest, ABrokenConfigurationOfOneRankIsToldByEveryRank) {
  ExpectNoStart(Config(""), {.ranks = 2, .last_rank_config = "nonsense"},
                "last.textproto:1:");
}

TEST(RanksStartTest, AnotherNumberOfRanksOrNodesIsToldByEveryRank) {
  ExpectNoStart(Config("parallel { world_size: 4 }"), {.ranks = 2},
                "parallel.world_size is 4, but this job has 2 ranks");
  ExpectNoStart(Config("parallel { nodes: 2 }"), {.ranks = 2},
                "parallel.nodes is 2, but the ranks run on 1 node: 0-1");
}

TEST(RanksStartTest, ALayoutThatDoesNotFitIsToldByEveryRank) {
  ExpectNoStart(Config("parallel { tensor_degree: 3 }"), {.ranks = 2},
                "tensor");
}

TEST(RanksStopTest, SigtermToRankZeroDrains) {
  ServerProcess process(Config(""), {.ranks = 2});
  const int port = process.WaitForPort();
  ASSERT_NE(port, 0) << process.Log();
  const std::vector<pid_t> ranks = process.RankPids();
  ASSERT_EQ(ranks.size(), 2u);
  // The others leave it to rank 0.
  kill(ranks[1], SIGTERM);
  ExpectGoldenAnswers(kModel, *v1::Inference::NewStub(Connect(port)));
  kill(ranks[0], SIGTERM);
  EXPECT_EQ(process.WaitForExit(), 0) << process.Log();
  for (const pid_t rank : ranks) EXPECT_FALSE(IsAlive(rank));
}

}  // namespace
}  // namespace moe
