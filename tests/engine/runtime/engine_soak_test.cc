#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "gtest/gtest.h"
#include "kernels/core/steady_clock.h"
#include "tests/engine/runtime/engine_fixture.h"

namespace moe {
namespace {

struct Sent {
  Request request;
  std::shared_ptr<RecordingObserver> observer;
  bool cancelled = false;
  bool answer_cancelled = false;
  bool expires = false;
};

// Invariants of every request that has ended.
void CheckEnd(const Sent& sent) {
  const absl::Status status = sent.observer->WaitDone();
  ASSERT_EQ(sent.observer->violation(), "") << sent.request.id;
  const auto answers = sent.observer->answers();
  for (const auto& [index, answer] : answers) {
    ASSERT_LT(index, sent.request.num_answers);
    ASSERT_LE(static_cast<int64_t>(answer.tokens.size()),
              sent.request.stopping.max_new_tokens);
  }
  if (status.ok()) {
    if (sent.answer_cancelled) return;
    ASSERT_EQ(answers.size(), static_cast<size_t>(sent.request.num_answers));
    for (const auto& [index, answer] : answers) {
      ASSERT_TRUE(answer.finish.has_value()) << sent.request.id;
    }
  } else if (absl::IsCancelled(status)) {
    ASSERT_TRUE(sent.cancelled);
  } else if (absl::IsDeadlineExceeded(status)) {
    ASSERT_TRUE(sent.expires);
  } else {
    // A row of a poisoned token.
    ASSERT_EQ(status.code(), absl::StatusCode::kInternal) << status;
    ASSERT_NE(status.message().find("not finite"), std::string::npos) << status;
  }
}

class EngineSoakTest : public testing::TestWithParam<uint32_t> {};

TEST_P(EngineSoakTest, EveryRequestEndsOnceAndNothingLeaks) {
  std::mt19937 random(GetParam());
  auto below = [&](uint32_t bound) {
    return static_cast<int32_t>(random() % bound);
  };
  FakeModel::Hooks hooks;
  hooks.poisoned_token = 96;
  EngineOptions options = SmallEngineOptions();
  options.num_blocks = 30 + below(30);
  options.prefill_chunk_tokens = below(2) == 0 ? 1 + below(10) : 0;
  options.max_running_sequences = 1 + below(10);
  options.max_waiting_requests = 20;
  std::unique_ptr<Engine> engine =
      MakeFakeEngine(options, std::move(hooks), 1 + below(2));
  std::vector<Sent> all;
  int64_t refused = 0;
  std::vector<Request> requests = MixedRequests(150, GetParam());
  for (Request& request : requests) {
    Sent sent;
    if (below(10) == 0) {
      sent.expires = true;
      request.deadline = SteadyNow() + absl::Microseconds(below(2000));
    }
    sent.request = request;
    sent.observer = std::make_shared<RecordingObserver>();
    const absl::Status status = engine->Submit(request, sent.observer);
    if (absl::IsResourceExhausted(status)) {
      ++refused;
      ASSERT_FALSE(sent.observer->done());
      ASSERT_TRUE(all.back().observer != nullptr);
      // The queue is full: wait for an earlier request.
      all[all.size() - 10].observer->WaitDone().IgnoreError();
      continue;
    }
    ASSERT_TRUE(status.ok()) << status;
    all.push_back(std::move(sent));
    if (below(8) == 0) {
      Sent& victim = all[below(static_cast<uint32_t>(all.size()))];
      victim.cancelled = true;
      engine->Cancel(victim.request.id);
    }
    if (below(8) == 0) {
      Sent& victim = all[below(static_cast<uint32_t>(all.size()))];
      victim.answer_cancelled = true;
      engine->CancelAnswer(victim.request.id, below(3));
    }
  }
  for (const Sent& sent : all) {
    CheckEnd(sent);
    if (HasFatalFailure()) return;
  }
  ASSERT_TRUE(engine->WaitIdle(absl::Minutes(1)));
  const EngineLoad load = engine->GetLoad();
  EXPECT_EQ(load.free_blocks, options.num_blocks);
  EXPECT_EQ(load.running, 0);
  EXPECT_EQ(load.waiting, 0);
  EXPECT_TRUE(engine->CheckHealth().ok()) << engine->CheckHealth();
}

INSTANTIATE_TEST_SUITE_P(Seeds, EngineSoakTest, testing::Range(0u, 12u));

}  // namespace
}  // namespace moe
