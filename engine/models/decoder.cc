#include "engine/models/decoder.h"

#include "absl/strings/str_cat.h"
#include "engine/models/step_checks.h"
#include "kernels/core/status_macros.h"

namespace moe {

Decoder::Decoder(const ModelConfig& config, DecoderWeights weights,
                 const ModelOptions& options, const RankShard& shard,
                 Stream& stream)
    : config_(config),
      weights_(std::move(weights)),
      adds_residual_(shard.adds_bias()),
      stream_(stream) {
  limits_.max_rows = options.max_rows;
  limits_.num_logits = shard.Vocab(config).size();
  if (options.parallel == nullptr) return;
  groups_ = options.parallel->groups;
  limits_.data_rank = groups_->data().rank();
  limits_.data_degree = groups_->data().size();
  if (shard.tensor_degree > 1) tensor_group_ = &groups_->tensor();
}

absl::StatusOr<std::unique_ptr<Decoder>> Decoder::Create(
    const ModelConfig& config, DecoderWeights weights,
    const ModelOptions& options, const RankShard& shard, Stream& stream) {
  std::unique_ptr<Decoder> decoder(
      new Decoder(config, std::move(weights), options, shard, stream));
  const int64_t hidden = config.hidden_size, max_rows = options.max_rows;
  const ModelConfig local = shard.LocalConfig(config);
  ASSIGN_OR_RETURN(decoder->hidden_,
                   Tensor::Allocate(DType::kF32, {max_rows, hidden}));
  ASSIGN_OR_RETURN(decoder->normed_,
                   Tensor::Allocate(DType::kF32, {max_rows, hidden}));
  ASSIGN_OR_RETURN(decoder->attention_scratch_,
                   AttentionScratch::Create(local, max_rows));
  std::vector<MlpConfig> dense_mlps;
  for (const LayerConfig& layer : local.layers) {
    if (!layer.is_moe()) dense_mlps.push_back(layer.any_mlp());
  }
  ASSIGN_OR_RETURN(decoder->mlp_scratch_,
                   MlpScratch::Create(dense_mlps, max_rows));
  ASSIGN_OR_RETURN(decoder->moe_scratch_,
                   MoeScratch::Create(config, max_rows, shard.tensor_degree));
  decoder->expert_load_.layers.reserve(config.num_layers());
  for (int64_t layer = 0; layer < config.num_layers(); ++layer) {
    MoeLayerLoad* load = nullptr;
    if (config.is_moe_layer(layer)) {
      load = &decoder->expert_load_.layers.emplace_back();
      load->layer = static_cast<int32_t>(layer);
      load->first_expert = shard.experts[layer].first_expert;
      load->num_experts = shard.experts[layer].num_experts;
      load->rows_by_expert.resize(config.num_experts(layer));
    }
    decoder->load_of_layer_.push_back(load);
  }
  decoder->slots_.reserve(max_rows);
  decoder->sequences_.reserve(max_rows);
  return decoder;
}

absl::Status Decoder::SumOverTensorRanks(const TensorView& x) {
  if (tensor_group_ == nullptr) return absl::OkStatus();
  return tensor_group_->AllReduce(
      absl::MakeSpan(x.ptr<float>(), static_cast<size_t>(x.num_elements())));
}

absl::Status Decoder::Forward(const Batch& batch, KvCache& cache,
                              const TensorView& logits, RoutingTrace* trace) {
  RETURN_IF_ERROR(CheckStep(batch, config_, limits_, cache, logits));
  if (groups_ != nullptr) groups_->SetStep(batch.step_id);
  LayOutStep(batch, cache.block_size(), slots_, sequences_);
  const StepRows rows = {batch.positions, slots_, sequences_};
  const int64_t num_rows = batch.num_rows();
  if (trace != nullptr) {
    trace->expert_ids.assign(config_.num_layers(), {});
    trace->weights.assign(config_.num_layers(), {});
  }
  // Without rows there are only other ranks' exchanges to take part in.
  if (num_rows > 0) {
    const TensorView hidden = hidden_.view().Rows(0, num_rows);
    RETURN_IF_ERROR(weights_.embedding.Forward(batch.token_ids, batch.positions,
                                               hidden, stream_));
    RETURN_IF_ERROR(SumOverTensorRanks(hidden));
  }
  for (int64_t layer = 0; layer < config_.num_layers(); ++layer) {
    const absl::Status status = RunLayer(layer, batch, rows, cache, trace);
    if (!status.ok()) {
      return absl::Status(
          status.code(), absl::StrCat("layer ", layer, ": ", status.message()));
    }
  }
  return weights_.head.Forward(hidden_.view(), batch.logit_rows, normed_.view(),
                               logits, stream_);
}

absl::Status Decoder::RunLayer(int64_t layer, const Batch& batch,
                               const StepRows& rows, KvCache& cache,
                               RoutingTrace* trace) {
  const int64_t num_rows = batch.num_rows();
  const DecoderLayer& weights = weights_.layers[layer];
  const TensorView hidden = hidden_.view().Rows(0, num_rows);
  const TensorView normed = normed_.view().Rows(0, num_rows);
  const LayerConfig& config = config_.layers[layer];
  const TensorView& residual = config.residual_post_norm ? normed : hidden;
  // Of sums over tensor ranks.
  const TensorView residual_part = adds_residual_ ? residual : TensorView();

  if (num_rows > 0) {
    RETURN_IF_ERROR(weights.attention_norm.Forward(hidden, normed, stream_));
    RETURN_IF_ERROR(weights.attention.Forward(normed, residual_part, hidden,
                                              rows, cache, layer,
                                              attention_scratch_, stream_));
    RETURN_IF_ERROR(SumOverTensorRanks(hidden));
    RETURN_IF_ERROR(weights.mlp_norm.Forward(hidden, normed, stream_));
  }
  if (weights.mlp.has_value()) {
    if (num_rows == 0) return absl::OkStatus();
    MlpJob job;
    job.weights = &*weights.mlp;
    job.x = normed;
    job.residual = residual_part;
    job.y = hidden;
    UseScratch(mlp_scratch_, 0, num_rows, job);
    RETURN_IF_ERROR(RunMlps(absl::MakeConstSpan(&job, 1),
                            config.any_mlp().activation, stream_));
    return SumOverTensorRanks(hidden);
  }
  ASSIGN_OR_RETURN(
      const GatingResult gating,
      weights.moe->Forward(normed, residual, hidden,
                           {batch.rows_on_data_ranks, load_of_layer_[layer]},
                           moe_scratch_, stream_));
  if (trace != nullptr) {
    const int64_t n = gating.expert_ids.num_elements();
    const int32_t* ids = gating.expert_ids.ptr<int32_t>();
    const float* shares = gating.weights.ptr<float>();
    trace->expert_ids[layer].assign(ids, ids + n);
    trace->weights[layer].assign(shares, shares + n);
  }
  return absl::OkStatus();
}

}  // namespace moe
