#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/distributed/rank_runtime.h"
#include "engine/loading/engine_factory.h"
#include "server/config/server_config.h"
#include "server/generation/served_model.h"
#include "server/text/tokenizer.h"

namespace moe {

// A model in memory with what it is made of.
struct LoadedModel {
  std::unique_ptr<Tokenizer> tokenizer;  // null: none
  std::unique_ptr<Engine> engine;        // running
  ServedModel served;                    // borrows the two
};

// On rank 0: reads tokenizer and checkpoint and starts the engine; logs
// progress and what has been loaded. Errors name the configuration's field or
// the file. `ranks` must outlive the model.
absl::StatusOr<LoadedModel> LoadServedModel(const ServerConfig& config,
                                            RankRuntime& ranks);

// On the other ranks: loads this rank's share and computes with it until rank 0
// lets it go (OK), or somebody fails.
absl::Status FollowModel(const ServerConfig& config, RankRuntime& ranks);

// Opens tokenizer and checkpoint, without loading the weights. Where the
// configuration says how many ranks there must be, checks that they can have
// the model.
absl::Status CheckModelFiles(const ServerConfig& config);

}  // namespace moe
