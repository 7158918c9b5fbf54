#include "engine/runtime/engine.h"

#include <algorithm>

namespace moe {

int64_t MaxSequenceTokens(const Engine& engine) {
  // The last token of an answer needs no slot in the KV cache.
  const EngineOptions& options = engine.options();
  return std::min(engine.model_config().max_positions,
                  options.num_blocks * options.block_size + 1);
}

}  // namespace moe
