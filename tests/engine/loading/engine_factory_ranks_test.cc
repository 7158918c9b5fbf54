// Whole engines on ranks that are threads, with a real model.
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "comm/topology.h"
#include "engine/distributed/rank_runtime.h"
#include "engine/loading/engine_factory.h"
#include "engine/runtime/engine_log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/runtime/engine_fixture.h"
#include "tests/support/golden.h"
#include "tests/support/test_device.h"

namespace moe {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

LoadEngineOptions GoldenOptions() {
  LoadEngineOptions options;
  options.device = TestDevice();
  options.checkpoint_path = GoldenDirectory("prmoe_head");
  options.weight_dtype = DType::kF32;
  options.num_threads = 1;
  options.engine.num_blocks = 64;
  options.engine.block_size = 4;
  options.engine.max_step_tokens = 64;
  options.engine.max_running_sequences = 16;
  options.parallel.costs = {
      .in_node = {absl::Microseconds(5), absl::Microseconds(1), 5e9},
      .across = {absl::Microseconds(50), absl::Microseconds(5), 1e9},
      .copy_bytes_per_second = 1e10,
      .read_bytes_per_second = 1e10,
      .flops_per_second = 1.5e11};
  return options;
}

// An engine over `size` ranks, the others in threads of their own.
class ThreadRankEngine {
 public:
  // Options may differ from rank to rank.
  ThreadRankEngine(const Topology& topology,
                   const std::function<LoadEngineOptions(int)>& options) {
    const int size = topology.world_size();
    CommunicatorOptions communicators;
    communicators.timeout = absl::Seconds(20);
    auto ranks = RankRuntime::MakeThreads(size, topology, communicators);
    EXPECT_TRUE(ranks.ok()) << ranks.status();
    ranks_ = *std::move(ranks);
    results_.resize(size);
    for (int r = 1; r < size; ++r) {
      threads_.emplace_back([this, r, own = options(r)] {
        results_[r] = RunWorker(own, *ranks_[r]);
      });
    }
    absl::StatusOr<LoadedEngine> loaded = LoadEngine(options(0), *ranks_[0]);
    results_[0] = loaded.status();
    if (loaded.ok()) loaded_ = *std::move(loaded);
  }
  ~ThreadRankEngine() { End(); }

  Engine& engine() { return *loaded_.engine; }
  const EngineInfo& info() const { return loaded_.info; }
  RankRuntime& rank(int r) { return *ranks_[r]; }

  // Destroys the engine; then what became of each rank.
  const std::vector<absl::Status>& End() {
    loaded_.engine.reset();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    return results_;
  }

 private:
  std::vector<std::unique_ptr<RankRuntime>> ranks_;
  std::vector<absl::Status> results_;
  std::vector<std::thread> threads_;
  LoadedEngine loaded_;
};

struct Layout {
  std::string name;
  int size = 1;
  int tensor_degree = 1;
  int expert_degree = 1;
  int slice_degree = 1;
  int num_nodes = 1;
};

std::vector<std::string> Answers(Engine& engine, bool bits,
                                 const std::vector<Request>& requests) {
  std::vector<std::shared_ptr<RecordingObserver>> observers;
  for (const Request& request : requests) {
    observers.push_back(SubmitOk(engine, request));
  }
  std::vector<std::string> answers;
  for (const auto& observer : observers) {
    EXPECT_TRUE(observer->WaitDone().ok());
    EXPECT_EQ(observer->violation(), "");
    std::string text;
    for (const auto& [index, answer] : observer->answers()) {
      absl::StrAppend(&text, "|");
      for (const SampledToken& token : answer.tokens) {
        absl::StrAppend(&text, token.token_id, " ");
      }
    }
    answers.push_back(bits ? observer->Fingerprint() : text);
  }
  return answers;
}

// Of a few requests: "layer:rows of each expert".
std::vector<std::string> ExpertRows(Engine& engine) {
  std::vector<std::string> loads;
  for (int i = 0; i < 3; ++i) {
    Request request = MakeRequest(absl::StrCat("traced", i), 9 + i, 6);
    request.trace_experts = true;
    request.num_answers = 1 + i;
    auto observer = SubmitOk(engine, request);
    EXPECT_TRUE(observer->WaitDone().ok());
    const auto load = observer->expert_load();
    EXPECT_TRUE(load.has_value());
    if (!load.has_value()) continue;
    std::string text;
    for (size_t layer = 0; layer < load->rows_by_expert.size(); ++layer) {
      absl::StrAppend(&text, layer, ":",
                      absl::StrJoin(load->rows_by_expert[layer], ","), " ");
    }
    loads.push_back(text);
  }
  return loads;
}

class EngineFactoryRanksTest : public testing::TestWithParam<Layout> {};

INSTANTIATE_TEST_SUITE_P(Layouts, EngineFactoryRanksTest,
                         testing::Values(Layout{"One", 1}, Layout{"Data2", 2},
                                         Layout{"Expert2", 2, 1, 2},
                                         Layout{"Data3", 3},
                                         Layout{"Expert3", 3, 1, 3},
                                         Layout{"Expert4", 4, 1, 4},
                                         Layout{"Expert2Copies2", 4, 1, 2},
                                         Layout{"Nodes2Expert4", 4, 1, 4, 1, 2},
                                         Layout{"Tensor2", 2, 2, 1},
                                         Layout{"Tensor2Expert2", 2, 2, 2},
                                         Layout{"Tensor2Data2Expert4", 4, 2, 4},
                                         Layout{"Tensor4", 4, 4, 4},
                                         Layout{"Tensor2Slice2", 4, 2, 2, 2}),
                         [](const auto& info) { return info.param.name; });

TEST_P(EngineFactoryRanksTest, MixedRequestsHaveTheAnswersOfOneRank) {
  const Layout& layout = GetParam();
  // Of tensor and slice degrees the rounding differs, and so may logprobs.
  const bool bits = layout.tensor_degree == 1 && layout.slice_degree == 1;
  const std::vector<Request> requests = MixedRequests(64, 8, 501, 36);
  absl::StatusOr<LoadedEngine> alone = LoadEngine(GoldenOptions());
  ASSERT_TRUE(alone.ok()) << alone.status();
  const std::vector<std::string> expected =
      Answers(*alone->engine, bits, requests);
  const std::vector<std::string> expert_rows = ExpertRows(*alone->engine);

  LoadEngineOptions options = GoldenOptions();
  // Fewer for each than one rank has: some must wait, or give way.
  options.engine.num_blocks = 24;
  options.parallel.tensor_degree = layout.tensor_degree;
  options.parallel.expert_degree = layout.expert_degree;
  options.parallel.slice_degree = layout.slice_degree;
  const auto topology =
      Topology::FromShape({layout.num_nodes, layout.size / layout.num_nodes});
  ASSERT_TRUE(topology.ok()) << topology.status();
  ThreadRankEngine ranks(*topology, [&](int) { return options; });
  ASSERT_NE(ranks.info().num_blocks, 0);
  EXPECT_EQ(ranks.info().tensor_degree, layout.tensor_degree);
  EXPECT_EQ(ranks.info().data_degree, layout.size / layout.tensor_degree);
  ASSERT_EQ(static_cast<int>(ranks.info().ranks.size()), layout.size);
  EXPECT_EQ(Answers(ranks.engine(), bits, requests), expected);
  EXPECT_EQ(ExpertRows(ranks.engine()), expert_rows);
  ExpectIdleAndNothingLeaked(ranks.engine());

  const std::vector<RankStatus> statuses = ranks.rank(0).Ranks();
  EXPECT_EQ(statuses[0].progress.state, RankState::kIdle);
  EXPECT_GT(statuses[0].progress.last_step, 0);
  EXPECT_EQ(statuses[0].progress.weight_bytes, ranks.info().weight_bytes);
  for (const absl::Status& status : ranks.End()) {
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(EngineFactoryRanksInfoTest, SaysWhatEachRankLoadedAndWhyTheLayout) {
  std::vector<std::string> events;
  SetEngineLogSink([&](EngineLogLevel, const std::string& event,
                       const EngineLogFields&) { events.push_back(event); });
  LoadEngineOptions options = GoldenOptions();
  options.parallel.costs = {};  // measured
  options.parallel.decode_batch = 77;
  options.engine.num_blocks = 0;  // automatic
  options.engine.block_size = 16;
  options.num_threads = 0;
  {
    ThreadRankEngine ranks(Topology::OneNode(2), [&](int) { return options; });
    const EngineInfo& info = ranks.info();
    ASSERT_EQ(info.ranks.size(), 2u);
    for (const RankInfo& rank : info.ranks) {
      EXPECT_FALSE(rank.host.empty());
      EXPECT_GT(rank.weight_bytes, 0);
      EXPECT_GT(rank.read_bytes, 0);
      EXPECT_GE(rank.num_threads, 1);
      EXPECT_GT(rank.step_bytes, 0);
    }
    ASSERT_FALSE(info.layout_reasons.empty());
    EXPECT_THAT(info.layout_reasons[0],
                HasSubstr("a decode step of 77 sequences"));
    EXPECT_EQ(info.costs_measured, "links, copying, reading, computing");
    EXPECT_GT(info.costs_time, absl::ZeroDuration());
    EXPECT_EQ(info.moe_layers.size(), 3u);
    EXPECT_TRUE(info.kv_cache_automatic);
    EXPECT_EQ(info.num_blocks, 16 * 64 / 16);
    EXPECT_EQ(ranks.engine().options().num_blocks, info.num_blocks);
  }
  SetEngineLogSink({});
  for (const char* event :
       {"layout", "layout_costs", "layout_reason", "rank_loaded"}) {
    EXPECT_THAT(events, Contains(event));
  }
}

TEST(EngineFactoryRanksInfoTest, WhatIsConfiguredIsNotMeasured) {
  LoadEngineOptions options = GoldenOptions();
  ThreadRankEngine ranks(Topology::OneNode(2), [&](int) { return options; });
  EXPECT_EQ(ranks.info().costs_measured, "none");
  EXPECT_EQ(ranks.info().costs,
            "costs { in_node { latency: '5us' per_message: '1us' "
            "bytes_per_second: 5000000000 } across { latency: '50us' "
            "per_message: '5us' bytes_per_second: 1000000000 } "
            "copy_bytes_per_second: 10000000000 read_bytes_per_second: "
            "10000000000 flops_per_second: 150000000000 }");
}

TEST(EngineFactoryRanksInfoTest, ShardsHoldLessThanTheWhole) {
  LoadEngineOptions options = GoldenOptions();
  absl::StatusOr<LoadedEngine> alone = LoadEngine(options);
  ASSERT_TRUE(alone.ok()) << alone.status();
  options.parallel.tensor_degree = 2;
  options.parallel.expert_degree = 2;
  ThreadRankEngine ranks(Topology::OneNode(2), [&](int) { return options; });
  ASSERT_EQ(ranks.info().ranks.size(), 2u);
  EXPECT_LT(ranks.info().weight_bytes, alone->info.weight_bytes * 6 / 10);
  EXPECT_EQ(ranks.info().kv_cache_bytes, alone->info.kv_cache_bytes / 2);
}

TEST(EngineFactoryRanksFailureTest, ARankThatCannotLoadEndsAllWithItsReason) {
  for (int bad : {0, 1, 2}) {
    ThreadRankEngine ranks(Topology::OneNode(3), [&](int rank) {
      LoadEngineOptions options = GoldenOptions();
      if (rank == bad) options.checkpoint_path = "no/such/directory";
      return options;
    });
    for (const absl::Status& status : ranks.End()) {
      EXPECT_EQ(status.code(), absl::StatusCode::kNotFound) << status;
      EXPECT_THAT(std::string(status.message()),
                  HasSubstr(absl::StrCat("rank ", bad, " on host")));
      EXPECT_THAT(std::string(status.message()),
                  HasSubstr("no/such/directory"));
    }
  }
}

TEST(EngineFactoryRanksFailureTest, ARankWithoutMemoryForItsCacheEndsAll) {
  ThreadRankEngine ranks(Topology::OneNode(2), [&](int rank) {
    LoadEngineOptions options = GoldenOptions();
    if (rank == 1) options.engine.num_blocks = int64_t{1} << 55;
    return options;
  });
  for (const absl::Status& status : ranks.End()) {
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("rank 1 on host"));
  }
}

TEST(EngineFactoryRanksFailureTest, AnImpossibleLayoutEndsAll) {
  ThreadRankEngine ranks(Topology::OneNode(3), [&](int) {
    LoadEngineOptions options = GoldenOptions();
    options.parallel.tensor_degree = 2;
    return options;
  });
  for (const absl::Status& status : ranks.End()) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
  }
}

TEST(EngineFactoryRanksFailureTest, AFailedJobEndsRequestsAndRanks) {
  ThreadRankEngine ranks(Topology::OneNode(3),
                         [&](int) { return GoldenOptions(); });
  std::vector<std::shared_ptr<RecordingObserver>> observers;
  Request request = MakeRequest("r", 5, 50);
  for (int i = 0; i < 12; ++i) {
    request.id = absl::StrCat("r", i);
    observers.push_back(SubmitOk(ranks.engine(), request));
  }
  observers[0]->WaitTokens(1);
  ranks.rank(2).Fail(absl::InternalError("pulled the plug"));
  for (const auto& observer : observers) {
    const absl::Status status = observer->WaitDone();
    if (status.ok()) continue;  // it was faster
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("pulled the plug"));
  }
  while (ranks.engine().CheckHealth().ok()) std::this_thread::yield();
  const absl::Status refused =
      ranks.engine().Submit(request, std::make_shared<RecordingObserver>());
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("pulled the plug"));
  const std::vector<absl::Status>& results = ranks.End();
  EXPECT_TRUE(results[0].ok());  // of loading
  EXPECT_FALSE(results[1].ok());
  EXPECT_FALSE(results[2].ok());
}

TEST(EngineFactoryRanksFailureTest, RanksKnowTheirParts) {
  auto ranks = RankRuntime::MakeThreads(2, Topology::OneNode(2));
  ASSERT_TRUE(ranks.ok()) << ranks.status();
  EXPECT_EQ(LoadEngine(GoldenOptions(), *(*ranks)[1]).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(RunWorker(GoldenOptions(), *(*ranks)[0]).code(),
            absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace moe
