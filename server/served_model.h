#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/runtime/engine.h"
#include "engine/runtime/engine_factory.h"
#include "engine/sampling/sampling_params.h"
#include "server/server_config.h"
#include "server/text/tokenizer.h"

namespace moe {

// What is served under one name. Borrows engine and tokenizer. Immutable once
// the server runs, so safe to share by threads.
struct ServedModel {
  std::string name;
  Engine* engine = nullptr;
  const Tokenizer* tokenizer = nullptr;  // null: token ids only
  SamplingParams defaults;
  RequestLimits limits;
  EngineInfo info;
};

}  // namespace moe
