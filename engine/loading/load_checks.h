#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/config/model_config.h"
#include "engine/loading/load_engine_options.h"
#include "kernels/core/device_backend.h"

namespace moe {

// Check the options of loading, and that the model fits the memory. The kernel
// overcommits memory and kills a process that uses too much, so what cannot fit
// is refused before it is allocated. If the size of the memory is unknown,
// these checks pass.

// kInvalidArgument that names an option.
absl::Status CheckLoadOptions(const LoadEngineOptions& options);

// The same, against the model: token ids outside its vocabulary, or a KV cache
// smaller than one block, however the model is partitioned.
absl::Status CheckOptionsForModel(const LoadEngineOptions& options,
                                  const ModelConfig& model);

// kResourceExhausted if `num_parameters` and the tables of one rank do not fit
// into 1 / `ranks_on_host` of what `backend` has available.
absl::Status CheckWeightsFit(const ModelConfig& model, int64_t num_parameters,
                             DType dtype, int ranks_on_host,
                             const DeviceBackend& backend);

// The number of KV cache blocks of this rank. Call it when all `ranks_on_host`
// ranks of the machine have loaded their weights. `local`: the model with this
// rank's key/value heads. If the options set no size, it leaves `step_bytes`
// (MaxStepBytes) free.
absl::StatusOr<int64_t> ChooseNumBlocks(const LoadEngineOptions& options,
                                        const ModelConfig& local,
                                        int ranks_on_host, int64_t step_bytes);

}  // namespace moe
