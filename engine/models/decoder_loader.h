#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/models/model.h"
#include "engine/models/model_options.h"
#include "kernels/core/stream.h"

namespace moe {

// Assembles a Decoder from the tensors that the configuration of `checkpoint`
// asks for. Errors as WeightLoader's; see LoadModel.
absl::StatusOr<std::unique_ptr<Model>> LoadDecoder(
    const Checkpoint& checkpoint, const ModelOptions& options, Stream& stream,
    absl::FunctionRef<void(int64_t, int64_t)> progress);

}  // namespace moe
