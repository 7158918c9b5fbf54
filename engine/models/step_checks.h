#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "engine/batch/batch.h"
#include "engine/cache/kv_cache.h"
#include "engine/config/model_config.h"
#include "kernels/core/tensor.h"

namespace moe {

// What a rank takes part in with its steps.
struct StepLimits {
  int64_t max_rows = 0;
  int64_t num_logits = 0;  // columns: this rank's share of the vocabulary
  int data_rank = 0;
  int data_degree = 1;
};

// kInvalidArgument naming the sequence, row or block if `batch` is not
// consistent in itself, or not with the model, the cache or `logits`
// [logit_rows, num_logits] f32. A batch has rows, unless other data ranks have
// some.
absl::Status CheckStep(const Batch& batch, const ModelConfig& config,
                       const StepLimits& limits, const KvCache& cache,
                       const TensorView& logits);

}  // namespace moe
