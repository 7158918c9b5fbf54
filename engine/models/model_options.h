#pragma once

#include <cstdint>

#include "engine/moe/expert_parallel/exchange_options.h"
#include "engine/parallel/rank_shard.h"
#include "kernels/core/dtype.h"

namespace moe {

class HostCommunicator;
class ProcessGroups;

// A model that many ranks hold together: what this one has and whom it talks
// to. Every rank makes one from the same layout.
struct ModelParallel {
  RankShard shard;
  ProcessGroups* groups = nullptr;  // borrowed, as long as the model lives
  ExchangeOptions exchange;
  // Of all ranks, borrowed while loading: where they wait for each other when
  // each has read its part, with a timeout for that. Null: the first operation
  // of `groups` waits.
  HostCommunicator* loading = nullptr;
};

struct ModelOptions {
  DType weight_dtype = DType::kBf16;  // kBf16, kF16 or kF32
  int64_t max_rows = 512;             // largest step: sizes the scratch memory
  // Null: this rank has the whole model and is alone. Borrowed while loading.
  const ModelParallel* parallel = nullptr;
};

}  // namespace moe
