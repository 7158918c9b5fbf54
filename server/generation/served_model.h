#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/distributed/rank_runtime.h"
#include "engine/loading/engine_info.h"
#include "engine/runtime/engine.h"
#include "engine/sampling/sampling_params.h"
#include "server/config/server_config.h"
#include "server/text/tokenizer.h"

namespace moe {

// What is served under one name. Borrows engine, tokenizer and ranks. Immutable
// once the server runs, so safe to share by threads.
struct ServedModel {
  std::string name;
  Engine* engine = nullptr;
  const Tokenizer* tokenizer = nullptr;  // null: token ids only
  SamplingParams defaults;
  RequestLimits limits;
  EngineInfo info;
  // The ranks that it runs on; null: this process, and nothing is known of its
  // experts.
  const RankRuntime* ranks = nullptr;
};

}  // namespace moe
