#include "engine/runtime/engine.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/runtime/engine_fixture.h"

namespace moe {
namespace {

using ::testing::HasSubstr;

TEST(EngineTest, GreedyAnswerIsTheModelsArgmaxChain) {
  std::unique_ptr<Engine> engine = MakeFakeEngine(SmallEngineOptions());
  const Request request = MakeRequest("a", 10, 6);
  auto observer = SubmitOk(*engine, request);
  ASSERT_TRUE(observer->WaitDone().ok());
  FakeModel model;
  std::vector<int32_t> tokens = request.prompt;
  auto answers = observer->answers();
  for (const SampledToken& token : answers[0].tokens) {
    const std::vector<float> logits = model.Logits(tokens);
    EXPECT_EQ(token.token_id,
              std::max_element(logits.begin(), logits.end()) - logits.begin());
    tokens.push_back(token.token_id);
  }
  EXPECT_EQ(tokens.size(), 16u);
  EXPECT_EQ(answers[0].finish->reason, FinishReason::kLength);
  ExpectIdleAndNothingLeaked(*engine);
  EXPECT_EQ(engine->GetLoad().generated_tokens, 6);
  EXPECT_EQ(engine->GetLoad().prompt_tokens, 10);
  EXPECT_EQ(engine->GetLoad().steps, 6);
}

TEST(EngineTest, ASharedPromptCountsOnceInTheExpertLoad) {
  FakeModel::Hooks hooks;
  hooks.num_experts = 5;
  for (const int32_t num_answers : {1, 2, 7}) {
    // Blocks have 4 tokens: each answer computes the last 2 of the prompt. In
    // the smaller pool one answer runs after the other.
    for (const int64_t num_blocks : {64, 5}) {
      EngineOptions options = SmallEngineOptions();
      options.num_blocks = num_blocks;
      std::unique_ptr<Engine> engine = MakeFakeEngine(options, hooks);
      Request request = MakeRequest("a", 10, 4);
      request.num_answers = num_answers;
      request.sampling.temperature = 1;
      request.trace_experts = true;
      auto observer = SubmitOk(*engine, request);
      ASSERT_TRUE(observer->WaitDone().ok());
      std::vector<int64_t> expected(5);
      for (int32_t token : request.prompt) ++expected[token % 5];
      for (const auto& [index, answer] : observer->answers()) {
        // The last token is never computed.
        for (size_t t = 0; t + 1 < answer.tokens.size(); ++t) {
          ++expected[answer.tokens[t].token_id % 5];
        }
      }
      ASSERT_TRUE(observer->expert_load().has_value());
      EXPECT_EQ(observer->expert_load()->rows_by_expert[0], expected)
          << num_answers << " answers, " << num_blocks << " blocks";
    }
  }
}

TEST(EngineTest, PromptLogprobsAreOfThePromptsTokens) {
  std::unique_ptr<Engine> engine = MakeFakeEngine(SmallEngineOptions());
  Request request = MakeRequest("a", 200, 1);  // more rows than one step takes
  request.sampling.num_prompt_logprobs = 2;
  auto observer = SubmitOk(*engine, request);
  ASSERT_TRUE(observer->WaitDone().ok());
  const std::vector<SampledToken> logprobs = observer->prompt()->logprobs;
  ASSERT_EQ(logprobs.size(), 200u);
  EXPECT_EQ(logprobs[0].token_id, request.prompt[0]);
  EXPECT_TRUE(std::isnan(logprobs[0].logprob.logprob));
  FakeModel model;
  for (size_t p = 1; p < 200; ++p) {
    EXPECT_EQ(logprobs[p].token_id, request.prompt[p]);
    const std::vector<float> logits =
        model.Logits({request.prompt.begin(), request.prompt.begin() + p});
    double sum = 0.0;
    for (float logit : logits) sum += std::exp(static_cast<double>(logit));
    EXPECT_NEAR(logprobs[p].logprob.logprob,
                logits[request.prompt[p]] - std::log(sum), 1e-5);
    EXPECT_EQ(logprobs[p].top.size(), 2u);
  }
}

TEST(EngineTest, EosEndsAnAnswerUnlessIgnored) {
  // The greedy answer's third token is declared end of text.
  Request request = MakeRequest("a", 5, 8);
  int32_t eos = 0;
  {
    std::unique_ptr<Engine> engine = MakeFakeEngine(SmallEngineOptions());
    auto observer = SubmitOk(*engine, request);
    ASSERT_TRUE(observer->WaitDone().ok());
    eos = observer->answers()[0].tokens[2].token_id;
  }
  EngineOptions options = SmallEngineOptions();
  options.eos_token_ids = {eos};
  std::unique_ptr<Engine> engine = MakeFakeEngine(options);
  auto stopped = SubmitOk(*engine, request);
  ASSERT_TRUE(stopped->WaitDone().ok());
  auto answer = stopped->answers()[0];
  ASSERT_LE(answer.tokens.size(), 3u);
  EXPECT_EQ(answer.tokens.back().token_id, eos);
  EXPECT_EQ(answer.finish->reason, FinishReason::kStop);
  EXPECT_EQ(answer.finish->stop_token_id, eos);

  request.stopping.ignore_eos = true;
  auto ignored = SubmitOk(*engine, request);
  ASSERT_TRUE(ignored->WaitDone().ok());
  EXPECT_EQ(ignored->answers()[0].tokens.size(), 8u);

  request.stopping.ignore_eos = false;
  request.stopping.min_new_tokens = 5;
  auto later = SubmitOk(*engine, request);
  ASSERT_TRUE(later->WaitDone().ok());
  auto tokens = later->answers()[0].tokens;
  ASSERT_GE(tokens.size(), 5u);
  for (size_t i = 0; i < 5; ++i) EXPECT_NE(tokens[i].token_id, eos);
}

TEST(EngineTest, RefusesWhatCanNeverFitTheCache) {
  EngineOptions options = SmallEngineOptions();
  options.num_blocks = 4;  // 16 tokens
  std::unique_ptr<Engine> engine = MakeFakeEngine(options);
  EXPECT_EQ(MaxSequenceTokens(*engine), 17);
  auto observer = std::make_shared<RecordingObserver>();
  const absl::Status status = engine->Submit(MakeRequest("a", 10, 8), observer);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("5 KV cache blocks"));
  EXPECT_FALSE(observer->done());
  EXPECT_TRUE(SubmitOk(*engine, MakeRequest("b", 10, 7))->WaitDone().ok());
  ExpectIdleAndNothingLeaked(*engine);
}

TEST(EngineTest, QueueFullIsResourceExhausted) {
  Gate gate;
  EngineOptions options = SmallEngineOptions();
  options.max_running_sequences = 1;
  options.max_waiting_requests = 3;
  std::unique_ptr<Engine> engine = MakeFakeEngine(options, gate.Hooks());
  auto running = SubmitOk(*engine, MakeRequest("running", 3, 2));
  gate.AwaitArrivals(1);
  std::vector<std::shared_ptr<RecordingObserver>> waiting;
  for (int i = 0; i < 3; ++i) {
    waiting.push_back(
        SubmitOk(*engine, MakeRequest(absl::StrCat("w", i), 4, 2)));
  }
  EXPECT_EQ(engine->GetLoad().waiting, 3);
  EXPECT_EQ(engine->GetLoad().waiting_tokens, 12);
  auto refused = std::make_shared<RecordingObserver>();
  const absl::Status status =
      engine->Submit(MakeRequest("refused", 4, 2), refused);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("3 requests"));
  gate.Open();
  EXPECT_TRUE(running->WaitDone().ok());
  for (auto& observer : waiting) EXPECT_TRUE(observer->WaitDone().ok());
  EXPECT_FALSE(refused->done());
  ExpectIdleAndNothingLeaked(*engine);
  EXPECT_TRUE(SubmitOk(*engine, MakeRequest("refused", 4, 2))->WaitDone().ok());
}

TEST(EngineTest, IdOfALiveRequestIsTaken) {
  Gate gate;
  std::unique_ptr<Engine> engine =
      MakeFakeEngine(SmallEngineOptions(), gate.Hooks());
  auto first = SubmitOk(*engine, MakeRequest("same", 3, 1));
  EXPECT_EQ(engine->Submit(MakeRequest("same", 3, 1), first).code(),
            absl::StatusCode::kAlreadyExists);
  gate.Open();
  EXPECT_TRUE(first->WaitDone().ok());
  EXPECT_TRUE(SubmitOk(*engine, MakeRequest("same", 3, 1))->WaitDone().ok());
}

TEST(EngineTest, DeadlineEndsQueuedAndRunningRequests) {
  Gate gate;
  FakeClock clock;
  EngineOptions options = SmallEngineOptions();
  options.max_running_sequences = 1;
  std::unique_ptr<Engine> engine =
      MakeFakeEngine(options, gate.Hooks(), 1, clock.Function());
  Request running = MakeRequest("running", 3, 100);
  running.deadline = clock.Now() + absl::Seconds(5);
  Request queued = MakeRequest("queued", 3, 100);
  queued.deadline = clock.Now() + absl::Seconds(5);
  auto first = SubmitOk(*engine, running);
  gate.AwaitArrivals(1);
  auto second = SubmitOk(*engine, queued);
  auto third = SubmitOk(*engine, MakeRequest("patient", 3, 2));
  clock.Advance(absl::Seconds(6));
  gate.Open();
  EXPECT_EQ(first->WaitDone().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(second->WaitDone().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(third->WaitDone().ok());
  EXPECT_EQ(second->answers().size(), 0u);
  EXPECT_EQ(first->timing().submitted, absl::FromUnixSeconds(1));
  EXPECT_EQ(first->timing().finished, absl::FromUnixSeconds(7));
  ExpectIdleAndNothingLeaked(*engine);
}

TEST(EngineTest, DrainRefusesNewAndFinishesOld) {
  Gate gate;
  std::unique_ptr<Engine> engine =
      MakeFakeEngine(SmallEngineOptions(), gate.Hooks());
  auto old = SubmitOk(*engine, MakeRequest("old", 3, 4));
  engine->StartDrain();
  auto refused = std::make_shared<RecordingObserver>();
  EXPECT_EQ(engine->Submit(MakeRequest("new", 3, 4), refused).code(),
            absl::StatusCode::kUnavailable);
  EXPECT_FALSE(engine->WaitIdle(absl::ZeroDuration()));
  EXPECT_TRUE(engine->CheckHealth().ok());
  gate.Open();
  EXPECT_TRUE(old->WaitDone().ok());
  EXPECT_TRUE(engine->WaitIdle(absl::InfiniteDuration()));
  engine->Resume();
  EXPECT_TRUE(SubmitOk(*engine, MakeRequest("new", 3, 4))->WaitDone().ok());
}

TEST(EngineTest, RequestsAreSubmittedFromManyThreads) {
  std::unique_ptr<Engine> engine = MakeFakeEngine(SmallEngineOptions());
  std::vector<std::thread> threads;
  std::atomic<int> finished{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        const std::string id = absl::StrCat(t, "-", i);
        auto observer = SubmitOk(*engine, MakeRequest(id, 3 + i, 5));
        if (i % 3 == 0) engine->Cancel(id);
        engine->GetLoad();
        const absl::Status status = observer->WaitDone();
        if (status.ok() || absl::IsCancelled(status)) ++finished;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(finished, 40);
  ExpectIdleAndNothingLeaked(*engine);
}

}  // namespace
}  // namespace moe
