#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "tests/engine/runtime/engine_fixture.h"

namespace moe {
namespace {

TEST(EngineCancelTest, CancelInEveryPhase) {
  Gate gate;
  EngineOptions options = SmallEngineOptions();
  options.max_running_sequences = 2;
  options.prefill_chunk_tokens = 8;
  std::unique_ptr<Engine> engine = MakeFakeEngine(options, gate.Hooks());
  auto decoding = SubmitOk(*engine, MakeRequest("decoding", 3, 50));
  gate.AwaitArrivals(1);
  auto prefilling = SubmitOk(*engine, MakeRequest("prefilling", 100, 50));
  auto waiting = SubmitOk(*engine, MakeRequest("waiting", 5, 5));
  auto survivor = SubmitOk(*engine, MakeRequest("survivor", 6, 9));
  gate.Allow(2);
  gate.AwaitArrivals(3);
  // Now 'decoding' has two tokens, 'prefilling' a chunk, and the others wait.
  EXPECT_EQ(engine->GetLoad().running, 2);
  EXPECT_EQ(engine->GetLoad().waiting, 2);
  engine->Cancel("waiting");
  engine->Cancel("unknown");
  engine->Cancel("prefilling");
  engine->Cancel("decoding");
  gate.Open();
  EXPECT_EQ(waiting->WaitDone().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(decoding->WaitDone().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(prefilling->WaitDone().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(survivor->WaitDone().ok());
  EXPECT_EQ(decoding->answers()[0].tokens.size(), 3u);
  EXPECT_FALSE(prefilling->prompt().has_value());
  EXPECT_EQ(waiting->answers().size(), 0u);
  EXPECT_EQ(waiting->timing().scheduled, absl::Time());
  for (const auto& observer : {decoding, prefilling, waiting, survivor}) {
    EXPECT_EQ(observer->violation(), "");
  }
  ExpectIdleAndNothingLeaked(*engine);
}

TEST(EngineCancelTest, CancelTakesEffectWithinOneStep) {
  Gate gate;
  std::unique_ptr<Engine> engine =
      MakeFakeEngine(SmallEngineOptions(), gate.Hooks());
  auto cancelled = SubmitOk(*engine, MakeRequest("cancelled", 3, 100));
  gate.AwaitArrivals(1);
  engine->Cancel("cancelled");
  gate.Open();
  EXPECT_EQ(cancelled->WaitDone().code(), absl::StatusCode::kCancelled);
  // Only the step that was running may still have produced a token.
  EXPECT_LE(cancelled->answers()[0].tokens.size(), 1u);
  ExpectIdleAndNothingLeaked(*engine);
  EXPECT_EQ(engine->GetLoad().steps, 1);
}

TEST(EngineCancelTest, CancelledAnswerLeavesTheOthers) {
  Gate gate;
  std::unique_ptr<Engine> engine =
      MakeFakeEngine(SmallEngineOptions(), gate.Hooks());
  Request request = MakeRequest("a", 9, 10);
  request.sampling.temperature = 1.0f;
  request.num_answers = 3;
  auto observer = SubmitOk(*engine, request);
  gate.AwaitArrivals(1);
  engine->CancelAnswer("a", 0);  // the one that computes the prompt
  engine->CancelAnswer("a", 7);  // there is none
  gate.Open();
  ASSERT_TRUE(observer->WaitDone().ok());
  auto answers = observer->answers();
  EXPECT_LE(answers[0].tokens.size(), 1u);
  EXPECT_FALSE(answers[0].finish.has_value());
  EXPECT_EQ(answers[1].tokens.size(), 10u);
  EXPECT_EQ(answers[2].tokens.size(), 10u);
  EXPECT_EQ(observer->violation(), "");
  ExpectIdleAndNothingLeaked(*engine);
}

TEST(EngineCancelTest, LastAnswerCancelledIsOk) {
  Gate gate;
  std::unique_ptr<Engine> engine =
      MakeFakeEngine(SmallEngineOptions(), gate.Hooks());
  auto observer = SubmitOk(*engine, MakeRequest("a", 9, 100));
  gate.AwaitArrivals(1);
  engine->CancelAnswer("a", 0);
  gate.Open();
  EXPECT_TRUE(observer->WaitDone().ok());
  EXPECT_LE(observer->answers()[0].tokens.size(), 1u);
  ExpectIdleAndNothingLeaked(*engine);
}

}  // namespace
}  // namespace moe
