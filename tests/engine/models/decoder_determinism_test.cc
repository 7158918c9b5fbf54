// A row's logits have the same bits alone, in any batch, in any chunks, in any
// blocks and on any number of threads.

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/engine/models/model_harness.h"
#include "tests/fakes/random_checkpoint.h"
#include "tests/support/device_variant.h"

namespace moe {
namespace {

std::vector<int32_t> SomeTokens(int64_t count, uint32_t seed) {
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i) {
    seed = seed * 1664525u + 1013904223u;
    tokens.push_back(static_cast<int32_t>((seed >> 10) % 101));
  }
  return tokens;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

struct Case {
  DeviceVariant variant;
  DType dtype;
  int64_t top_k;     // 3: all experts of a layer
  bool odd = false;  // sizes that no vector divides, and all newer options
};

void MakeOdd(UniformModelConfig& config) {
  config.hidden_size = 45;
  config.num_heads = 9;
  config.num_kv_heads = 3;
  config.head_dim = 5;
  config.ffn_hidden_size = 37;
  config.norm.kind = NormKind::kRmsNorm;
  config.activation = ActivationKind::kSwiGlu;
  config.linear_bias = false;
  config.tied_embeddings = false;
  config.rope = RopeConfig{.rotary_dim = 3};
}

class DecoderDeterminismTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    UniformModelConfig config = SmallPrMoeConfig();
    config.top_k = GetParam().top_k;
    if (GetParam().odd) MakeOdd(config);
    checkpoint_ = std::make_unique<RandomCheckpoint>(config);
  }

  ModelHarness Load(int threads, int64_t block_size) {
    return ModelHarness(*checkpoint_, {.weight_dtype = GetParam().dtype,
                                       .num_threads = threads,
                                       .block_size = block_size,
                                       .num_blocks = 1024 / block_size,
                                       .max_rows = 192});
  }

  const ScopedVariant variant_{GetParam().variant};
  std::unique_ptr<RandomCheckpoint> checkpoint_;
};

TEST_P(DecoderDeterminismTest, ChunksBlocksAndThreadsDoNotChangeABit) {
  const std::vector<int32_t> tokens = SomeTokens(150, 1);
  ModelHarness base = Load(1, 16);
  const std::vector<float> want = base.Prefill(tokens, 150);
  for (int64_t chunk : {1, 7, 64}) {
    EXPECT_TRUE(SameBits(base.Prefill(tokens, chunk, 3), want))
        << "chunks of " << chunk;
  }
  for (int64_t block_size : {4, 8, 32, 64}) {
    EXPECT_TRUE(SameBits(Load(1, block_size).Prefill(tokens, 41), want))
        << "block size " << block_size;
  }
  for (int threads : {2, 3}) {
    ModelHarness threaded = Load(threads, 16);
    EXPECT_TRUE(SameBits(threaded.Prefill(tokens, 150), want))
        << threads << " threads";
    EXPECT_TRUE(SameBits(threaded.Prefill(tokens, 7, 5), want))
        << threads << " threads, chunks of 7";
  }
}

TEST_P(DecoderDeterminismTest, WhatElseIsInTheBatchDoesNotChangeABit) {
  ModelHarness harness = Load(2, 8);
  const int64_t vocab = harness.config().vocab_size;
  std::vector<std::vector<int32_t>> sequences;
  std::vector<std::vector<float>> alone;
  for (int64_t length : {1, 40, 5, 70, 13}) {
    sequences.push_back(SomeTokens(length, 17 + length));
    alone.push_back(harness.Prefill(sequences.back(), length));
  }
  // Steps that mix decode rows with prefill chunks of other lengths: sequence
  // i advances by 1 + 6 i tokens at a time.
  std::vector<int64_t> done(sequences.size(), 0);
  std::vector<std::vector<float>> mixed(sequences.size());
  while (true) {
    std::vector<ModelHarness::Slice> slices;
    std::vector<size_t> who;
    for (size_t i = 0; i < sequences.size(); ++i) {
      const int64_t length = static_cast<int64_t>(sequences[i].size());
      const int64_t end = std::min<int64_t>(length, done[i] + 1 + 6 * i);
      if (end == done[i]) continue;
      slices.push_back(
          {.tokens = {sequences[i].begin() + done[i],
                      sequences[i].begin() + end},
           .start_position = static_cast<int32_t>(done[i]),
           .block_ids = harness.Blocks(end, static_cast<int32_t>(i) * 16)});
      who.push_back(i);
      done[i] = end;
    }
    if (slices.empty()) break;
    const std::vector<float> logits = harness.Step(slices);
    auto row = logits.begin();
    for (size_t s = 0; s < slices.size(); ++s) {
      const auto end =
          row + static_cast<int64_t>(slices[s].tokens.size()) * vocab;
      mixed[who[s]].insert(mixed[who[s]].end(), row, end);
      row = end;
    }
  }
  for (size_t i = 0; i < sequences.size(); ++i) {
    EXPECT_TRUE(SameBits(mixed[i], alone[i])) << "sequence " << i;
  }
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const DeviceVariant& variant : AllVariants()) {
    cases.push_back({variant, DType::kBf16, 1});
  }
  cases.push_back({DefaultVariant(), DType::kF32, 2});
  cases.push_back({DefaultVariant(), DType::kF16, 1});
  cases.push_back({DefaultVariant(), DType::kBf16, 3, true});
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Cases, DecoderDeterminismTest,
                         testing::ValuesIn(Cases()),
                         [](const testing::TestParamInfo<Case>& info) {
                           return info.param.variant.Name() + "_" +
                                  std::string(DTypeName(info.param.dtype)) +
                                  "_top" + std::to_string(info.param.top_k) +
                                  (info.param.odd ? "_odd" : "");
                         });

}  // namespace
}  // namespace moe
