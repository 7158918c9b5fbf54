#include "engine/loading/open_checkpoint.h"

#include <utility>

#include "engine/checkpoint/deepspeed/deepspeed_checkpoint.h"
#include "engine/checkpoint/deepspeed/deepspeed_loader.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<std::unique_ptr<Checkpoint>> OpenCheckpoint(
    const std::string& path, const CheckpointOptions& options) {
  // The list of supported formats.
  ASSIGN_OR_RETURN(DeepSpeedContents contents,
                   LoadDeepSpeedDirectory(path, options));
  return std::make_unique<DeepSpeedCheckpoint>(std::move(contents));
}

}  // namespace moe
