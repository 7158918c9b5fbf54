#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/layers/attention.h"
#include "engine/layers/grouped_mlp.h"
#include "engine/layers/norm.h"
#include "engine/layers/output_head.h"
#include "engine/layers/token_embedding.h"
#include "engine/models/model.h"
#include "engine/moe/moe_layer.h"
#include "engine/moe/token_dispatcher.h"

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
  // Behind a pointer, as the layers' attention borrows them.
  std::unique_ptr<RopeTables> rope;
  // Borrowed by the MoE layers.
  std::unique_ptr<TokenDispatcher> dispatcher;
  std::vector<DecoderLayer> layers;
  OutputHead head;
  int64_t packed_bytes = 0;  // of all matrices
};

// A pre-norm decoder assembled from layers:
//   x = embedding;  for each layer: x += attention(norm(x)), x += mlp(norm(x));
//   logits = head(x).
// Scratch memory for max_rows rows is allocated once. Not thread-safe.
class Decoder : public Model {
 public:
  // The stream is borrowed.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(
      const ModelConfig& config, DecoderWeights weights, int64_t max_rows,
      Stream& stream);

  const ModelConfig& config() const override { return config_; }
  absl::Status Forward(const Batch& batch, KvCache& cache,
                       const TensorView& logits, RoutingTrace* trace) override;
  int64_t weight_bytes() const override { return weights_.packed_bytes; }
  int64_t weight_bytes_touched(int64_t num_rows) const override;
  const ExpertLoad& expert_load() const override { return expert_load_; }

 private:
  Decoder(const ModelConfig& config, DecoderWeights weights, int64_t max_rows,
          Stream& stream)
      : config_(config),
        weights_(std::move(weights)),
        max_rows_(max_rows),
        stream_(stream) {}

  absl::Status RunLayer(int64_t layer, const Batch& batch, const StepRows& rows,
                        KvCache& cache, RoutingTrace* trace);

  const ModelConfig config_;
  DecoderWeights weights_;
  const int64_t max_rows_;
  Stream& stream_;

  Tensor hidden_;  // [max_rows, hidden]
  Tensor normed_;  // [max_rows, hidden]
  AttentionScratch attention_scratch_;
  MlpScratch mlp_scratch_;
  MoeScratch moe_scratch_;
  std::vector<int64_t> slots_;                // of the step
  std::vector<AttentionSequence> sequences_;  // of the step
  ExpertLoad expert_load_;
  std::vector<MoeLayerLoad*> load_of_layer_;  // [num_layers]; null: dense
};

}  // namespace moe
