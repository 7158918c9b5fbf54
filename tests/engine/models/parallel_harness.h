#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "comm/topology.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/moe/expert_load.h"
#include "engine/parallel/exchange_kind.h"

namespace moe {

// How a model is laid over ranks that are threads of the test.
struct RankLayout {
  int world = 1;
  int tensor = 1;
  // Expert and slice degree of each MoE layer.
  std::vector<int> expert_degrees = {};
  std::vector<int> slice_degrees = {};  // empty: 1
  std::optional<NodeShape> nodes = {};  // none: one node

  int data_degree() const { return world / tensor; }
  // "w8_t2_ep4_8_8_n2x4".
  std::string Name() const;
};

// Which data rank computes which sequence.
enum class Owners { kSpread, kLast };

struct ParallelRun {
  RankLayout layout;
  std::optional<ExchangeKind> exchange = {};
  Owners owners = Owners::kSpread;
};

struct ParallelResult {
  // Of every sequence, [tokens, vocab].
  std::vector<std::vector<float>> logits;
  // Of every rank.
  std::vector<ExpertLoad> loads;
};

// Runs `sequences`, of 32 tokens at most, through a model on many ranks, in
// steps that mix chunks of prefill with single tokens and in which data ranks
// have different numbers of rows, often none. Failures are the test's.
ParallelResult RunParallel(const Checkpoint& checkpoint,
                           const std::vector<std::vector<int32_t>>& sequences,
                           const ParallelRun& run);

// Sequences of tokens below `vocab`, of lengths from 1 to 15.
std::vector<std::vector<int32_t>> SomeSequences(int64_t vocab);

}  // namespace moe
