#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/runtime/engine_fixture.h"

namespace moe {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(EngineFailureTest, FailedStepEndsAllRequestsAndTurnsHealthBad) {
  Gate gate;
  FakeModel::Hooks hooks;
  hooks.before_step = [&](const Batch& batch) {
    gate.Pass().IgnoreError();
    return batch.step_id < 2 ? absl::OkStatus()
                             : absl::InternalError("the kernel broke");
  };
  EngineOptions options = SmallEngineOptions();
  options.max_running_sequences = 1;
  std::unique_ptr<Engine> engine = MakeFakeEngine(options, std::move(hooks));
  auto running = SubmitOk(*engine, MakeRequest("running", 3, 10));
  auto waiting = SubmitOk(*engine, MakeRequest("waiting", 3, 10));
  EXPECT_TRUE(engine->CheckHealth().ok());
  gate.Open();
  for (const auto& observer : {running, waiting}) {
    const absl::Status status = observer->WaitDone();
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(status.message()), HasSubstr("the kernel broke"));
    EXPECT_THAT(std::string(status.message()), HasSubstr("step 2"));
    EXPECT_EQ(observer->violation(), "");
  }
  EXPECT_EQ(running->answers()[0].tokens.size(), 2u);
  EXPECT_EQ(engine->CheckHealth().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(engine->Submit(MakeRequest("new", 3, 1), running).code(),
            absl::StatusCode::kUnavailable);
  ExpectIdleAndNothingLeaked(*engine);
}

TEST(EngineFailureTest, NanLogitsEndTheirRequestAlone) {
  FakeModel::Hooks hooks;
  hooks.poisoned_token = 95;  // MakeRequest's prompts have none
  std::unique_ptr<Engine> engine =
      MakeFakeEngine(SmallEngineOptions(), std::move(hooks));
  Request bad = MakeRequest("bad", 8, 5);
  bad.prompt.back() = 95;
  Request good = MakeRequest("good", 9, 5);
  good.sampling.banned_token_ids = {95};
  auto bad_observer = SubmitOk(*engine, bad);
  auto good_observer = SubmitOk(*engine, good);
  const absl::Status status = bad_observer->WaitDone();
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()),
              StartsWith("the model's logits are not finite"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("token 48 is nan"));
  EXPECT_TRUE(good_observer->WaitDone().ok());
  EXPECT_TRUE(engine->CheckHealth().ok());
  ExpectIdleAndNothingLeaked(*engine);
}

TEST(EngineFailureTest, StalledStepTurnsHealthBadUntilItReturns) {
  Gate gate;
  FakeClock clock;
  EngineOptions options = SmallEngineOptions();
  options.stall_timeout = absl::Seconds(30);
  std::unique_ptr<Engine> engine =
      MakeFakeEngine(options, gate.Hooks(), 1, clock.Function());
  auto observer = SubmitOk(*engine, MakeRequest("a", 3, 2));
  gate.AwaitArrivals(1);
  for (int i = 0; i < 6; ++i) {
    clock.Advance(absl::Seconds(5));
    EXPECT_TRUE(engine->CheckHealth().ok());
  }
  clock.Advance(absl::Seconds(1));
  const absl::Status status = engine->CheckHealth();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("step 0 with 3 rows"));
  gate.Open();
  EXPECT_TRUE(observer->WaitDone().ok());
  EXPECT_TRUE(engine->CheckHealth().ok());
}

TEST(EngineFailureTest, ShutdownEndsAllRequestsOnce) {
  Gate gate;
  EngineOptions options = SmallEngineOptions();
  options.max_running_sequences = 1;
  std::unique_ptr<Engine> engine = MakeFakeEngine(options, gate.Hooks());
  auto running = SubmitOk(*engine, MakeRequest("running", 3, 100));
  auto waiting = SubmitOk(*engine, MakeRequest("waiting", 3, 100));
  gate.AwaitArrivals(1);
  // No step ends before the engine knows that it is to stop: else both requests
  // might be done by then.
  std::thread opener([&] {
    while (engine->CheckHealth().ok()) std::this_thread::yield();
    gate.Open();
  });
  engine->Shutdown(absl::UnavailableError("going down"));
  engine->Shutdown(absl::UnavailableError("twice"));
  opener.join();
  for (const auto& observer : {running, waiting}) {
    ASSERT_TRUE(observer->done());
    EXPECT_EQ(observer->WaitDone(), absl::UnavailableError("going down"));
    EXPECT_EQ(observer->violation(), "");
  }
  EXPECT_EQ(engine->CheckHealth().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(engine->Submit(MakeRequest("new", 3, 1), running).code(),
            absl::StatusCode::kUnavailable);
  ExpectIdleAndNothingLeaked(*engine);
}

TEST(EngineFailureTest, ShutdownGivesUpAStepThatHangs) {
  Gate gate;
  Gate destroyed;
  FakeModel::Hooks hooks = gate.Hooks();
  hooks.on_destroy = [&] { destroyed.Open(); };
  EngineOptions options = SmallEngineOptions();
  options.stall_timeout = absl::Milliseconds(20);
  std::unique_ptr<Engine> engine = MakeFakeEngine(options, std::move(hooks));
  auto running = SubmitOk(*engine, MakeRequest("running", 3, 100));
  gate.AwaitArrivals(1);
  auto waiting = SubmitOk(*engine, MakeRequest("waiting", 3, 100));
  engine->Shutdown(absl::UnavailableError("going down"));
  for (const auto& observer : {running, waiting}) {
    ASSERT_TRUE(observer->done());
    EXPECT_EQ(observer->WaitDone(), absl::UnavailableError("going down"));
  }
  EXPECT_TRUE(engine->WaitIdle(absl::ZeroDuration()));
  engine.reset();
  // The step returns at last; the engine's memory goes with it.
  gate.Open();
  destroyed.Pass().IgnoreError();
  EXPECT_EQ(running->violation(), "");
  EXPECT_EQ(running->answers().size(), 0u);
}

}  // namespace
}  // namespace moe
