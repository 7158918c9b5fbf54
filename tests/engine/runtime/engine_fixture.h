#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "engine/runtime/engine.h"
#include "tests/fakes/fake_model.h"
#include "tests/fakes/recording_observer.h"

namespace moe {

// A small pool by default: 64 blocks of 4 tokens.
EngineOptions SmallEngineOptions();

// An engine on a FakeModel; fails the process if it can't be made.
std::unique_ptr<Engine> MakeFakeEngine(const EngineOptions& options,
                                       FakeModel::Hooks hooks = {},
                                       int num_threads = 1,
                                       std::function<absl::Time()> clock = {});

// A prompt of `prompt_tokens` pseudo-random tokens, greedy.
Request MakeRequest(const std::string& id, int64_t prompt_tokens,
                    int64_t max_new_tokens);

// `count` requests that differ in length, sampler, seed, logprobs, stop ids and
// number of answers. The same for the same `seed`. `longest_prompt` > 20.
std::vector<Request> MixedRequests(int count, uint32_t seed,
                                   uint32_t vocab_size = 97,
                                   uint32_t longest_prompt = 90);

// Submits all and returns each one's fingerprint. Every OnDone must be OK.
std::vector<std::string> RunTogether(Engine& engine,
                                     const std::vector<Request>& requests);

// Blocks the model's steps until it is opened. Thread-safe.
class Gate {
 public:
  void Open() { Allow(1000000); }
  // Allows `count` more steps.
  void Allow(int count) {
    std::lock_guard<std::mutex> lock(mutex_);
    permits_ += count;
    changed_.notify_all();
  }
  // For the step.
  absl::Status Pass() {
    std::unique_lock<std::mutex> lock(mutex_);
    ++arrivals_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return permits_ > 0; });
    --permits_;
    return absl::OkStatus();
  }
  // For the test: until `count` steps have begun.
  void AwaitArrivals(int count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return arrivals_ >= count; });
  }
  FakeModel::Hooks Hooks() {
    FakeModel::Hooks hooks;
    hooks.before_step = [this](const Batch&) { return Pass(); };
    return hooks;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int permits_ = 0;
  int arrivals_ = 0;
};

// A clock that the test advances. Thread-safe.
class FakeClock {
 public:
  std::function<absl::Time()> Function() {
    return [this] {
      return absl::UnixEpoch() + absl::Milliseconds(millis_.load());
    };
  }
  absl::Time Now() { return Function()(); }
  void Advance(absl::Duration by) { millis_ += absl::ToInt64Milliseconds(by); }

 private:
  std::atomic<int64_t> millis_{1000};
};

// Submits a request, which must be accepted.
std::shared_ptr<RecordingObserver> SubmitOk(Engine& engine,
                                            const Request& request);

// Waits until the engine is idle, and expects all blocks to be free.
void ExpectIdleAndNothingLeaked(Engine& engine);

}  // namespace moe
