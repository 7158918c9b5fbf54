#pragma once

#include <vector>

#include "absl/status/status.h"
#include "engine/batch/batch.h"
#include "engine/cache/kv_cache.h"
#include "engine/config/index_range.h"
#include "engine/models/model.h"
#include "engine/runtime/step_executor.h"
#include "kernels/core/tensor.h"

namespace moe {

// Runs a rank's model with its KV cache on the rank's batches. Borrows both.
// Thread-compatible.
class ModelRunner {
 public:
  ModelRunner() = default;
  // `vocab`: the vocabulary entries whose logits the model computes.
  ModelRunner(Model* model, KvCache* cache, IndexRange vocab)
      : model_(model), cache_(cache), vocab_(vocab) {}

  Model& model() const { return *model_; }
  const IndexRange& vocab() const { return vocab_; }

  // `logits` [rank_batch.logit_rows, vocab range] f32. Appends the routing of
  // the slices with trace_routing to `routing`, unless that is null. Returns
  // exceptions of the model (std::bad_alloc) as errors.
  absl::Status Run(const Batch& rank_batch, const TensorView& logits,
                   std::vector<SequenceRouting>* routing);

 private:
  Model* model_ = nullptr;
  KvCache* cache_ = nullptr;
  IndexRange vocab_;
};

}  // namespace moe
