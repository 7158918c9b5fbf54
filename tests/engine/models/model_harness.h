#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/cache/kv_cache.h"
#include "engine/loading/open_checkpoint.h"
#include "engine/models/load_model.h"
#include "engine/models/model.h"
#include "engine/models/model_options.h"
#include "kernels/core/stream.h"

namespace moe {

// A loaded model with a cache of its own, for tests that run sequences through
// it step by step. Failures end the test with a message. Not thread-safe.
class ModelHarness {
 public:
  struct Options {
    DType weight_dtype = DType::kF32;
    int num_threads = 1;
    int64_t block_size = 16;
    int64_t num_blocks = 64;
    int64_t max_rows = 128;
    // Then all ranks of a tensor group must do the same, and all get all
    // logits.
    const ModelParallel* parallel = nullptr;
  };
  ModelHarness(const Checkpoint& checkpoint, const Options& options);

  const ModelConfig& config() const { return model_->config(); }
  Model& model() { return *model_; }
  KvCache& cache() { return cache_; }

  // One step's share of a sequence.
  struct Slice {
    std::vector<int32_t> tokens;
    int32_t start_position = 0;
    std::vector<int32_t> block_ids;
  };
  // Runs one step of all slices; returns the logits of all their rows, [rows,
  // vocab_size], and the routing.
  // `rows_on_data_ranks`: as in Batch.
  std::vector<float> Step(const std::vector<Slice>& slices,
                          RoutingTrace* trace = nullptr,
                          const std::vector<int32_t>& rows_on_data_ranks = {});

  // The logits of all of `tokens`, in steps of `chunk` tokens, in blocks from
  // `first_block` on; the routing of the steps, concatenated row by row.
  std::vector<float> Prefill(const std::vector<int32_t>& tokens, int64_t chunk,
                             int32_t first_block = 0,
                             RoutingTrace* trace = nullptr);

  // Continues `prompt` with `count` tokens of the largest logit, step by step.
  // With `no_repeat`, tokens that the sequence has already are passed over.
  std::vector<int32_t> Greedy(const std::vector<int32_t>& prompt, int64_t count,
                              int64_t chunk, bool no_repeat = false);

  // Block ids `first`, `first` + 1, ... for `tokens` tokens.
  std::vector<int32_t> Blocks(int64_t tokens, int32_t first) const;

 private:
  // `logits` [rows, this rank's vocabulary] to [rows, vocab_size].
  std::vector<float> GatherLogits(const std::vector<float>& logits,
                                  int64_t rows) const;

  ThreadPool pool_;
  std::unique_ptr<Stream> stream_;
  std::unique_ptr<Model> model_;
  KvCache cache_;
  std::optional<ModelParallel> parallel_;
};

// Opens a checkpoint directory; ends the test if that fails.
std::unique_ptr<Checkpoint> OpenOrDie(const std::string& path,
                                      const CheckpointOptions& options = {});

// max |a - b|.
float MaxDifference(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace moe
