#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/checkpoint_options.h"

namespace moe {

// Opens a DeepSpeed directory (with a file `latest`) or one of its tag
// directories. Nothing in the files is executed. kNotFound / kDataLoss /
// kInvalidArgument name the file and what is wrong with it.
absl::StatusOr<std::unique_ptr<Checkpoint>> OpenCheckpoint(
    const std::string& path, const CheckpointOptions& options = {});

}  // namespace moe
