#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/runtime/engine_fixture.h"

namespace moe {
namespace {

struct Setting {
  const char* name;
  int64_t num_blocks;
  int64_t prefill_chunk_tokens;
  int num_threads;
  bool preempts;
};

class EngineDeterminismTest : public testing::TestWithParam<Setting> {
 protected:
  // The answers of each request alone, without chunked prefill.
  static const std::vector<std::string>& Alone() {
    static const auto& alone = *new std::vector<std::string>([] {
      EngineOptions options = SmallEngineOptions();
      options.num_blocks = 512;
      options.max_step_tokens = 256;
      std::unique_ptr<Engine> engine = MakeFakeEngine(options);
      std::vector<std::string> fingerprints;
      for (const Request& request : MixedRequests(64, 5)) {
        fingerprints.push_back(RunTogether(*engine, {request})[0]);
      }
      return fingerprints;
    }());
    return alone;
  }
};

TEST_P(EngineDeterminismTest, MixedRequestsTogetherGiveTheBitsOfEachAlone) {
  const Setting& setting = GetParam();
  EngineOptions options = SmallEngineOptions();
  options.num_blocks = setting.num_blocks;
  options.prefill_chunk_tokens = setting.prefill_chunk_tokens;
  std::unique_ptr<Engine> engine =
      MakeFakeEngine(options, {}, setting.num_threads);
  const std::vector<Request> requests = MixedRequests(64, 5);
  const std::vector<std::string> together = RunTogether(*engine, requests);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(together[i], Alone()[i]) << requests[i].id;
  }
  const EngineLoad load = engine->GetLoad();
  EXPECT_EQ(load.free_blocks, setting.num_blocks);
  EXPECT_EQ(load.preemptions > 0, setting.preempts) << load.preemptions;
}

INSTANTIATE_TEST_SUITE_P(
    All, EngineDeterminismTest,
    testing::Values(Setting{"WholePrompts", 512, 0, 1, false},
                    Setting{"ChunksOf7", 512, 7, 1, false},
                    Setting{"ChunksOf64", 512, 64, 1, false},
                    Setting{"TwoThreads", 512, 0, 2, false},
                    Setting{"TinyPool", 30, 0, 1, true},
                    Setting{"TinyPoolChunksOf7TwoThreads", 30, 7, 2, true}),
    [](const testing::TestParamInfo<Setting>& info) {
      return info.param.name;
    });

TEST(EngineAnswersTest, FirstOfManyAnswersIsTheAnswerAlone) {
  std::unique_ptr<Engine> engine = MakeFakeEngine(SmallEngineOptions());
  Request one = MakeRequest("one", 21, 12);
  one.sampling.temperature = 1.0f;
  one.sampling.seed = 11;
  Request many = one;
  many.id = "many";
  many.num_answers = 5;
  auto alone = std::make_shared<RecordingObserver>();
  auto together = std::make_shared<RecordingObserver>();
  ASSERT_TRUE(engine->Submit(one, alone).ok());
  ASSERT_TRUE(engine->Submit(many, together).ok());
  ASSERT_TRUE(alone->WaitDone().ok());
  ASSERT_TRUE(together->WaitDone().ok());
  auto ids = [](const RecordingObserver::Answer& answer) {
    std::vector<int32_t> result;
    for (const SampledToken& token : answer.tokens) {
      result.push_back(token.token_id);
    }
    return result;
  };
  auto answers = together->answers();
  ASSERT_EQ(answers.size(), 5u);
  EXPECT_EQ(ids(answers[0]), ids(alone->answers()[0]));
  // The answers of a request use different random numbers.
  EXPECT_NE(ids(answers[0]), ids(answers[1]));
  EXPECT_NE(ids(answers[1]), ids(answers[2]));
}

}  // namespace
}  // namespace moe
