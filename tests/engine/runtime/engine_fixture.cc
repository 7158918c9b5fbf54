#include "tests/engine/runtime/engine_fixture.h"

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/runtime/threaded_engine.h"
#include "gtest/gtest.h"

namespace moe {

EngineOptions SmallEngineOptions() {
  EngineOptions options;
  options.num_blocks = 64;
  options.block_size = 4;
  options.max_step_tokens = 64;
  options.max_running_sequences = 16;
  return options;
}

std::unique_ptr<Engine> MakeFakeEngine(const EngineOptions& options,
                                       FakeModel::Hooks hooks, int num_threads,
                                       std::function<absl::Time()> clock) {
  EngineParts parts;
  parts.threads = std::make_unique<ThreadPool>(num_threads);
  parts.model = std::make_unique<FakeModel>(97, 256, std::move(hooks));
  if (clock) parts.clock = std::move(clock);
  absl::StatusOr<std::unique_ptr<Engine>> engine =
      CreateEngine(std::move(parts), options);
  EXPECT_TRUE(engine.ok()) << engine.status();
  return *std::move(engine);
}

Request MakeRequest(const std::string& id, int64_t prompt_tokens,
                    int64_t max_new_tokens) {
  Request request;
  request.id = id;
  std::mt19937 random(static_cast<uint32_t>(prompt_tokens));
  for (int64_t i = 0; i < prompt_tokens; ++i) {
    request.prompt.push_back(static_cast<int32_t>(random() % 90));
  }
  request.sampling.temperature = 0.0f;
  request.stopping.max_new_tokens = max_new_tokens;
  return request;
}

std::vector<Request> MixedRequests(int count, uint32_t seed,
                                   uint32_t vocab_size,
                                   uint32_t longest_prompt) {
  std::mt19937 random(seed);
  auto below = [&](uint32_t bound) {
    return static_cast<int32_t>(random() % bound);
  };
  std::vector<Request> requests;
  for (int i = 0; i < count; ++i) {
    Request request;
    request.id = absl::StrCat("r", i);
    const int32_t length = 1 + below(i % 5 == 0 ? longest_prompt : 20);
    for (int32_t j = 0; j < length; ++j)
      request.prompt.push_back(below(vocab_size));
    SamplingParams& sampling = request.sampling;
    sampling.seed = random();
    if (i % 4 == 0) sampling.temperature = 0.0f;
    if (i % 3 == 0) sampling.top_k = 1 + below(40);
    if (i % 5 == 1) sampling.top_p = 0.7f;
    if (i % 7 == 2) sampling.min_p = 0.05f;
    if (i % 6 == 3) sampling.repetition_penalty = 1.3f;
    if (i % 6 == 4) sampling.frequency_penalty = 0.8f;
    if (i % 6 == 5) sampling.presence_penalty = -0.5f;
    if (i % 9 == 0) sampling.logit_bias = {{below(vocab_size), 3.0f}};
    if (i % 8 == 3) sampling.banned_token_ids = {1, 2, 3};
    if (i % 2 == 0) sampling.num_logprobs = below(4);
    if (i % 5 < 2) sampling.num_prompt_logprobs = below(3);
    request.stopping.max_new_tokens = 1 + below(24);
    if (i % 3 == 1) {
      request.stopping.stop_token_ids = {below(vocab_size), below(vocab_size),
                                         below(vocab_size)};
      request.stopping.min_new_tokens =
          std::min<int64_t>(below(6), request.stopping.max_new_tokens);
    }
    if (i % 7 == 0) request.num_answers = 1 + below(4);
    request.priority = below(3);
    requests.push_back(std::move(request));
  }
  return requests;
}

std::vector<std::string> RunTogether(Engine& engine,
                                     const std::vector<Request>& requests) {
  std::vector<std::shared_ptr<RecordingObserver>> observers;
  for (const Request& request : requests) {
    observers.push_back(std::make_shared<RecordingObserver>());
    const absl::Status status = engine.Submit(request, observers.back());
    EXPECT_TRUE(status.ok()) << request.id << ": " << status;
  }
  std::vector<std::string> fingerprints;
  for (size_t i = 0; i < requests.size(); ++i) {
    const absl::Status status = observers[i]->WaitDone();
    EXPECT_TRUE(status.ok()) << requests[i].id << ": " << status;
    EXPECT_EQ(observers[i]->violation(), "") << requests[i].id;
    EXPECT_EQ(observers[i]->answers().size(),
              static_cast<size_t>(requests[i].num_answers));
    fingerprints.push_back(observers[i]->Fingerprint());
  }
  return fingerprints;
}

std::shared_ptr<RecordingObserver> SubmitOk(Engine& engine,
                                            const Request& request) {
  auto observer = std::make_shared<RecordingObserver>();
  const absl::Status status = engine.Submit(request, observer);
  EXPECT_TRUE(status.ok()) << status;
  return observer;
}

void ExpectIdleAndNothingLeaked(Engine& engine) {
  ASSERT_TRUE(engine.WaitIdle(absl::Minutes(1)));
  const EngineLoad load = engine.GetLoad();
  EXPECT_EQ(load.running, 0);
  EXPECT_EQ(load.waiting, 0);
  EXPECT_EQ(load.waiting_tokens, 0);
  EXPECT_EQ(load.free_blocks, load.total_blocks);
}

}  // namespace moe
