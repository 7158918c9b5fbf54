#pragma once

#include <cstdint>
#include <functional>
#include <memory>
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

}  // namespace moe
