#include "engine/loading/rank_memory.h"

#include <algorithm>

#include "comm/point_to_point_communicator.h"
#include "engine/distributed/logit_gather.h"
#include "engine/distributed/worker.h"
#include "engine/moe/expert_parallel/exchange_bound.h"
#include "engine/moe/moe_layer.h"
#include "engine/runtime/step_sampler.h"

namespace moe {
namespace {

// The maximum over the MoE layers, which share their buffers.
int64_t MoeBytes(const ModelConfig& model, const RankShard& shard,
                 absl::Span<const MoeLayerDegrees> layers,
                 const StepSize& size) {
  ExchangeBound most;
  int64_t up = 0, activated = 0;
  for (const MoeLayerDegrees& degrees : layers) {
    const ExchangeBound bound = BoundExchange(
        model, {degrees, shard.experts[degrees.layer].num_experts,
                shard.tensor_degree, size.max_rows, size.num_nodes,
                size.ranks_per_node, size.pinned_exchange});
    most.Cover(bound);
    const MlpConfig& expert = model.layers[degrees.layer].moe().mlp;
    const int64_t slices = degrees.slice_degree;
    up = std::max(up, bound.slots * expert.up_rows() / slices);
    if (expert.is_gated()) {
      activated =
          std::max(activated, bound.slots * expert.ffn_hidden_size / slices);
    }
  }
  return MoeScratch::MaxGrowthBytes(model, size.max_rows, most.slots, up,
                                    activated) +
         most.MaxBytes();
}

int64_t LogitBytes(const ModelConfig& model, const RankShard& shard,
                   const StepSize& size) {
  if (!size.gathers_logits) {
    return Worker::MaxBytes(shard.Vocab(model).size(), size.max_logit_rows);
  }
  const int64_t rows = size.data_degree * size.max_logit_rows;
  return StepSampler::MaxBytes(model.vocab_size, rows) +
         LogitGather::MaxBytes(model, shard.tensor_degree, rows);
}

}  // namespace

int64_t MaxStepBytes(const ModelConfig& model, const RankShard& shard,
                     absl::Span<const MoeLayerDegrees> layers,
                     const StepSize& size) {
  const int64_t sums = PointToPointCommunicator::MaxAllReduceScratch(
      size.max_rows * model.hidden_size, shard.tensor_degree);
  return MoeBytes(model, shard, layers, size) +
         sums * static_cast<int64_t>(sizeof(float)) +
         LogitBytes(model, shard, size);
}

}  // namespace moe
