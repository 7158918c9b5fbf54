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

// A rank's model with its KV cache: computes the rank's share of steps.
// Borrows both. Thread-compatible.
class ModelRunner {
 public:
  ModelRunner() = default;
  // `vocab`: whose logits the model computes.
  ModelRunner(Model* model, KvCache* cache, IndexRange vocab)
      : model_(model), cache_(cache), vocab_(vocab) {}

  Model& model() const { return *model_; }
  const IndexRange& vocab() const { return vocab_; }

  // `logits` [share.logit_rows, vocab range] f32. Appends to `routing`, if it
  // is not null, that of the slices with trace_routing. What the model throws
  // (memory that is not there) becomes an error.
  absl::Status Run(const Batch& share, const TensorView& logits,
                   std::vector<SequenceRouting>* routing);

 private:
  Model* model_ = nullptr;
  KvCache* cache_ = nullptr;
  IndexRange vocab_;
};

}  // namespace moe
