#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "engine/batch/batch.h"
#include "engine/cache/kv_cache.h"
#include "engine/config/model_config.h"
#include "engine/moe/expert_load.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/tensor.h"

namespace moe {

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
  // Whose memory it computes in: its KV cache is to be there.
  virtual DeviceBackend& backend() const = 0;

  // Runs all layers over the rows of `batch`, appends their keys and values to
  // the blocks it names, and writes the logits of batch.logit_rows to `logits`
  // [logit_rows, vocab range of this rank] f32, host memory (pinned, for
  // devices with memory of their own). All is there when it returns. A row's
  // results have the same bits whatever else is in the batch, however a prompt
  // is cut into steps and on whatever ranks the experts are; the tensor and
  // slice degrees alone change the rounding of sums. Of many ranks, all call it
  // in every step: those of a tensor group with the same batch, which may have
  // no rows where other data ranks have some. `trace`, if not null, receives
  // the routing of this rank's rows.
  virtual absl::Status Forward(const Batch& batch, KvCache& cache,
                               const TensorView& logits,
                               RoutingTrace* trace) = 0;

  // Bytes of packed weights.
  virtual int64_t weight_bytes() const = 0;

  // What its MoE layers have done so far; changes in Forward.
  virtual const ExpertLoad& expert_load() const = 0;
};

}  // namespace moe
