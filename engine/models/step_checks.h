#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "engine/batch/batch.h"
#include "engine/cache/kv_cache.h"
#include "engine/config/model_config.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/paged_attention.h"

namespace moe {

// kInvalidArgument naming the sequence, row or block if `batch` is not
// consistent in itself, or not with the model, the cache or `logits`
// [logit_rows, vocab_size] f32.
absl::Status CheckStep(const Batch& batch, const ModelConfig& config,
                       int64_t max_rows, const KvCache& cache,
                       const TensorView& logits);

// The cache slot of each row of a checked batch, and its sequences as attention
// wants them (borrowing the block ids).
void LayOutStep(const Batch& batch, int64_t block_size,
                std::vector<int64_t>& slots,
                std::vector<AttentionSequence>& sequences);

}  // namespace moe
