// Microseconds to choose one token from 50,257 logits, one thread.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "engine/sampling/sampler.h"

namespace moe {
namespace {

constexpr int64_t kVocab = 50257;

std::vector<float> RandomLogits() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> logits(kVocab);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

void Run(benchmark::State& state, const SamplingParams& params) {
  const std::vector<float> logits = RandomLogits();
  std::vector<int32_t> prompt(500);
  for (size_t i = 0; i < prompt.size(); ++i) {
    prompt[i] = static_cast<int32_t>(i * 97 % kVocab);
  }
  Sampler sampler(kVocab);
  SampleRow row;
  row.logits = logits;
  row.prompt = prompt;
  for (auto _ : state) {
    ++row.answer_index;
    benchmark::DoNotOptimize(sampler.Sample(params, row));
  }
}

void BM_Greedy(benchmark::State& state) {
  SamplingParams params;
  params.temperature = 0.0f;
  Run(state, params);
}
BENCHMARK(BM_Greedy);

void BM_Temperature(benchmark::State& state) {
  SamplingParams params;
  params.temperature = 0.8f;
  Run(state, params);
}
BENCHMARK(BM_Temperature);

void BM_TopK50(benchmark::State& state) {
  SamplingParams params;
  params.top_k = 50;
  Run(state, params);
}
BENCHMARK(BM_TopK50);

// The top_p set of these flat logits has thousands of tokens: the slow case.
void BM_TopP(benchmark::State& state) {
  SamplingParams params;
  params.top_p = static_cast<float>(state.range(0)) / 100.0f;
  Run(state, params);
}
BENCHMARK(BM_TopP)->Arg(50)->Arg(90);

void BM_MinP(benchmark::State& state) {
  SamplingParams params;
  params.min_p = 0.05f;
  Run(state, params);
}
BENCHMARK(BM_MinP);

void BM_TopK50TopP90Penalties(benchmark::State& state) {
  SamplingParams params;
  params.top_k = 50;
  params.top_p = 0.9f;
  params.repetition_penalty = 1.1f;
  params.frequency_penalty = 0.2f;
  Run(state, params);
}
BENCHMARK(BM_TopK50TopP90Penalties);

void BM_GreedyWith5Logprobs(benchmark::State& state) {
  SamplingParams params;
  params.temperature = 0.0f;
  params.num_logprobs = 5;
  Run(state, params);
}
BENCHMARK(BM_GreedyWith5Logprobs);

}  // namespace
}  // namespace moe

BENCHMARK_MAIN();
