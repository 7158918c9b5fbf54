#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/config/model_config.h"
#include "engine/loading/load_engine_options.h"
#include "kernels/core/device_backend.h"

namespace moe {

// Whether what is to be loaded is sound, and fits the memory. The kernel
// promises more memory than there is and kills who uses it: what cannot fit is
// refused before. Where nobody tells how much there is, only trying shows it.

// kInvalidArgument naming an option.
absl::Status CheckLoadOptions(const LoadEngineOptions& options);

// The same of options with the model at hand: ids of tokens that it has not, a
// KV cache of less than a block, however the model may be laid over ranks.
absl::Status CheckOptionsForModel(const LoadEngineOptions& options,
                                  const ModelConfig& model);

// kResourceExhausted if a rank's `num_parameters` and its tables do not fit
// into one of `num_sharers` equal parts of what `backend` has available.
absl::Status CheckWeightsFit(const ModelConfig& model, int64_t num_parameters,
                             DType dtype, int num_sharers,
                             const DeviceBackend& backend);

// How many KV cache blocks this rank can have, to be called when the weights of
// all `num_sharers` ranks of its machine are in place. `local`: the model with
// this rank's key/value heads. Where the options set no size, `step_bytes` are
// left to the rows of a step (MaxStepBytes).
absl::StatusOr<int64_t> ChooseNumBlocks(const LoadEngineOptions& options,
                                        const ModelConfig& local,
                                        int num_sharers, int64_t step_bytes);

}  // namespace moe
