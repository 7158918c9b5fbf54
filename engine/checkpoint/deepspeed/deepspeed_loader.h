#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "engine/checkpoint/checkpoint_options.h"
#include "engine/checkpoint/deepspeed/deepspeed_checkpoint.h"

namespace moe {

// Opens the files of a DeepSpeed checkpoint (see FindDeepSpeedDirectory),
// derives the configuration, and finds every weight of it, with the right
// shape. Reads weights only to compare the copies of tensor ranks. Returns the
// status codes of OpenCheckpoint.
absl::StatusOr<DeepSpeedContents> LoadDeepSpeedDirectory(
    const std::string& path, const CheckpointOptions& options);

}  // namespace moe
