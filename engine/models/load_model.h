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

// Packs all weights of `checkpoint`, in parallel on the stream's threads, and
// calls `progress(done_bytes, total_bytes)` now and then. The checkpoint may be
// closed afterwards.
// Of many ranks, all call it: at the end they compare the checksums of weights
// of which each has read a part. A rank that fails gives the groups up
// (HostCommunicator::Abort), so that the others do not wait for it.
absl::StatusOr<std::unique_ptr<Model>> LoadModel(
    const Checkpoint& checkpoint, const ModelOptions& options, Stream& stream,
    absl::FunctionRef<void(int64_t, int64_t)> progress);

}  // namespace moe
