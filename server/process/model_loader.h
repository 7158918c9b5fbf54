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

// A served model with the objects that it borrows.
struct LoadedModel {
  std::unique_ptr<Tokenizer> tokenizer;  // null: none
  std::unique_ptr<Engine> engine;        // running
  ServedModel served;                    // borrows the two above
};

// On rank 0: loads tokenizer and checkpoint and starts the engine; logs
// progress and what was loaded. Errors name the configuration's field or the
// file. `ranks` must outlive the model.
absl::StatusOr<LoadedModel> LoadServedModel(const ServerConfig& config,
                                            RankRuntime& ranks);

// On the other ranks: loads this rank's part of the model and computes with it
// until rank 0 ends the job (OK) or a rank fails.
absl::Status RunModelWorker(const ServerConfig& config, RankRuntime& ranks);

// Opens tokenizer and checkpoint without loading the weights. If the
// configuration sets the number of ranks, checks that they can hold the model.
absl::Status CheckModelFiles(const ServerConfig& config);

}  // namespace moe
