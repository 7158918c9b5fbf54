#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/batch/batch.h"
#include "engine/cache/kv_cache.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/config/model_config.h"
#include "engine/moe/exchange_options.h"
#include "engine/moe/expert_load.h"
#include "engine/parallel/rank_shard.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

class Communicator;
class ProcessGroups;

// Which experts the rows of one step chose. [layer][row * top_k + j]; a dense
// layer's vectors are empty.
struct RoutingTrace {
  std::vector<std::vector<int32_t>> expert_ids;
  std::vector<std::vector<float>> weights;
};

// A decoder with its weights, one rank's view. Not thread-safe.
class Model {
 public:
  virtual ~Model() = default;

  virtual const ModelConfig& config() const = 0;

  // Runs all layers over the rows of `batch`, appends their keys and values to
  // the blocks it names, and writes the logits of batch.logit_rows to `logits`
  // [logit_rows, vocab range of this rank] f32. A row's results have the same
  // bits whatever else is in the batch, however a prompt is cut into steps and
  // on whatever ranks the experts are; the tensor and slice degrees alone
  // change the rounding of sums.
  // Of many ranks, all call it in every step: those of a tensor group with the
  // same batch, which may have no rows where other data ranks have some.
  // `trace`, if not null, receives the routing of this rank's rows.
  virtual absl::Status Forward(const Batch& batch, KvCache& cache,
                               const TensorView& logits,
                               RoutingTrace* trace) = 0;

  // Bytes of packed weights.
  virtual int64_t weight_bytes() const = 0;

  // What its MoE layers have done so far; changes in Forward.
  virtual const ExpertLoad& expert_load() const = 0;
};

// A model that many ranks hold together: what this one has and whom it talks
// to. Every rank makes one from the same layout.
struct ModelParallel {
  RankShard shard;
  ProcessGroups* groups = nullptr;  // borrowed, as long as the model lives
  ExchangeOptions exchange;
  // Of all ranks, borrowed while loading: where they wait for each other when
  // each has read its part, with a timeout for that. Null: the first operation
  // of `groups` waits.
  Communicator* loading = nullptr;
};

struct ModelOptions {
  DType weight_dtype = DType::kBf16;  // kBf16, kF16 or kF32
  int64_t max_rows = 512;             // largest step: sizes the scratch memory
  // Null: this rank has the whole model and is alone. Borrowed while loading.
  const ModelParallel* parallel = nullptr;
};

// Packs all weights of `checkpoint`, in parallel on the stream's threads, and
// calls `progress(done_bytes, total_bytes)` now and then. The checkpoint may be
// closed afterwards.
// Of many ranks, all call it: at the end they compare the checksums of weights
// of which each has read a part. A rank that fails gives the groups up
// (Communicator::Abort), so that the others do not wait for it.
absl::StatusOr<std::unique_ptr<Model>> LoadModel(
    const Checkpoint& checkpoint, const ModelOptions& options, Stream& stream,
    absl::FunctionRef<void(int64_t, int64_t)> progress);

}  // namespace moe
