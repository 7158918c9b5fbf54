#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/batch/step_metadata.h"
#include "engine/layers/attention.h"
#include "engine/layers/grouped_mlp.h"
#include "engine/layers/norm.h"
#include "engine/layers/output_head.h"
#include "engine/layers/token_embedding.h"
#include "engine/models/model.h"
#include "engine/models/model_options.h"
#include "engine/models/routing_fetch.h"
#include "engine/models/step_checks.h"
#include "engine/moe/expert_parallel/moe_dispatchers.h"
#include "engine/moe/moe_layer.h"
#include "engine/parallel/process_groups.h"
#include "engine/parallel/rank_shard.h"

namespace moe {

struct DecoderLayer {
  Norm attention_norm;
  Attention attention;
  Norm mlp_norm;
  // One of the two.
  std::optional<MlpWeights> mlp;
  std::optional<MoeLayer> moe;
};

// Everything of a decoder that its checkpoint decides.
struct DecoderWeights {
  TokenEmbedding embedding;
  // Behind pointers, as the layers' attention borrows them; one for each way
  // that layers rotate.
  std::vector<std::unique_ptr<RopeTables>> ropes;
  // Borrowed by the MoE layers.
  MoeDispatchers dispatchers;
  std::vector<DecoderLayer> layers;
  OutputHead head;
  int64_t packed_bytes = 0;  // of all matrices
};

// A pre-norm decoder assembled from layers:
//   x = embedding;  for each layer: x += attention(norm(x)), x += mlp(norm(x));
//   logits = head(x).
// Of several tensor ranks each computes a part of the sums that attention and
// MLPs end in; an all-reduce adds them up, so that x has the same bits on all.
// Scratch memory for max_rows rows is allocated once. Not thread-safe.
class Decoder : public Model {
 public:
  // `weights` are those of `shard`. The stream is borrowed, and so are the
  // groups of options.parallel.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(
      const ModelConfig& config, DecoderWeights weights,
      const ModelOptions& options, const RankShard& shard, Stream& stream);

  const ModelConfig& config() const override { return config_; }
  DeviceBackend& backend() const override { return stream_.backend(); }
  absl::Status Forward(const Batch& batch, KvCache& cache,
                       const TensorView& logits, RoutingTrace* trace) override;
  int64_t weight_bytes() const override { return weights_.packed_bytes; }
  const ExpertLoad& expert_load() const override { return expert_load_; }

 private:
  Decoder(const ModelConfig& config, DecoderWeights weights,
          const ModelOptions& options, const RankShard& shard, Stream& stream);

  // x, this rank's part of a sum, becomes the sum over the tensor ranks.
  absl::Status SumOverTensorRanks(const TensorView& x);
  absl::Status RunLayer(int64_t layer, const Batch& batch, KvCache& cache,
                        RoutingFetch* trace);
  // Computes `logits` where they lie, or on the device and copies them there.
  absl::Status RunHead(const TensorView& logits);
  // After the step: what it counted on the device.
  void UpdateExpertLoad();

  const ModelConfig config_;
  DecoderWeights weights_;
  const bool adds_residual_;  // to the sums over tensor ranks: one of them does
  Stream& stream_;
  ProcessGroups* groups_ = nullptr;       // null: alone
  Communicator* tensor_group_ = nullptr;  // null: no sums to complete
  StepLimits limits_;

  Tensor hidden_;  // [max_rows, hidden]
  Tensor normed_;  // [max_rows, hidden]
  AttentionScratch attention_scratch_;
  MlpScratch mlp_scratch_;
  MoeScratch moe_scratch_;
  std::optional<StepMetadata> metadata_;
  Tensor logits_;  // [any, vocab range]; empty where the device is the host
  // How often rows chose each expert. [moe layers, most experts] i64
  Tensor expert_rows_;
  Tensor
      fetched_expert_rows_;  // pinned; empty where expert_rows_ is the host's
  ExpertLoad expert_load_;
  std::vector<MoeLayerLoad*> load_of_layer_;  // [num_layers]; null: dense
};

}  // namespace moe
