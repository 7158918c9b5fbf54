#pragma once

#include <string>

#include "engine/loading/engine_info.h"
#include "engine/sampling/sampling_params.h"
#include "server/config/request_limits.h"

namespace moe {

class Engine;
class RankRuntime;
class Tokenizer;

// A model that is served under a name. Borrows engine, tokenizer and ranks.
// Immutable while the server runs, so threads may share it.
struct ServedModel {
  std::string name;
  Engine* engine = nullptr;
  const Tokenizer* tokenizer = nullptr;  // null: token ids only
  SamplingParams defaults;
  RequestLimits limits;
  EngineInfo info;
  // The ranks that compute the model; null: this process alone, without
  // counts of its experts' load.
  const RankRuntime* ranks = nullptr;
};

}  // namespace moe
