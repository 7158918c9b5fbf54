#include "engine/models/decoder.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/models/step_checks.h"
#include "kernels/core/ensure_capacity.h"
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
  if (options.parallel != nullptr) {
    const Device device = options.parallel->groups->tensor().device();
    if (device != stream.device()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the process groups exchange tensors on ", ToString(device),
          ", the model is on ", ToString(stream.device())));
    }
  }
  std::unique_ptr<Decoder> decoder(
      new Decoder(config, std::move(weights), options, shard, stream));
  const int64_t hidden = config.hidden_size, max_rows = options.max_rows;
  DeviceBackend& backend = stream.backend();
  const bool on_host = backend.device() == Device{};
  const ModelConfig local = shard.LocalConfig(config);
  const DType dtype = backend.activation_dtype();
  ASSIGN_OR_RETURN(decoder->hidden_,
                   Tensor::Allocate(backend, dtype, {max_rows, hidden}));
  ASSIGN_OR_RETURN(decoder->normed_,
                   Tensor::Allocate(backend, dtype, {max_rows, hidden}));
  ASSIGN_OR_RETURN(decoder->attention_scratch_,
                   AttentionScratch::Create(backend, local, max_rows));
  std::vector<MlpConfig> dense_mlps;
  for (const LayerConfig& layer : local.layers) {
    if (!layer.is_moe()) dense_mlps.push_back(layer.any_mlp());
  }
  ASSIGN_OR_RETURN(decoder->mlp_scratch_,
                   MlpScratch::Create(backend, dense_mlps, max_rows));
  ASSIGN_OR_RETURN(
      decoder->moe_scratch_,
      MoeScratch::Create(backend, config, max_rows, shard.tensor_degree));
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
  int64_t max_experts = 0;
  for (const MoeLayerLoad& load : decoder->expert_load_.layers) {
    max_experts =
        std::max(max_experts, static_cast<int64_t>(load.rows_by_expert.size()));
  }
  const int64_t counts[] = {
      static_cast<int64_t>(decoder->expert_load_.layers.size()), max_experts};
  ASSIGN_OR_RETURN(decoder->expert_rows_,
                   Tensor::Allocate(backend, DType::kI64, counts));
  if (!on_host) {
    ASSIGN_OR_RETURN(decoder->fetched_expert_rows_,
                     Tensor::AllocatePinned(backend, DType::kI64, counts));
  }
  ASSIGN_OR_RETURN(decoder->metadata_, StepMetadata::Create(backend, max_rows));
  return decoder;
}

absl::Status Decoder::SumOverTensorRanks(const TensorView& x) {
  if (tensor_group_ == nullptr) return absl::OkStatus();
  return tensor_group_->AllReduce(x, stream_);
}

absl::Status Decoder::Forward(const Batch& batch, KvCache& cache,
                              const TensorView& logits, RoutingTrace* trace) {
  RETURN_IF_ERROR(CheckStep(batch, config_, limits_, cache, logits));
  if (groups_ != nullptr) groups_->SetStep(batch.step_id);
  RETURN_IF_ERROR(metadata_->Upload(batch, cache.block_size(), stream_));
  const int64_t num_rows = batch.num_rows();
  std::optional<RoutingFetch> fetch;
  if (trace != nullptr) fetch.emplace(config_.num_layers());
  // Without rows there are only other ranks' exchanges to take part in.
  if (num_rows > 0) {
    const TensorView hidden = hidden_.view().Rows(0, num_rows);
    RETURN_IF_ERROR(weights_.embedding.Forward(
        metadata_->token_ids(), metadata_->positions(), hidden, stream_));
    RETURN_IF_ERROR(SumOverTensorRanks(hidden));
  }
  for (int64_t layer = 0; layer < config_.num_layers(); ++layer) {
    const absl::Status status =
        RunLayer(layer, batch, cache, fetch.has_value() ? &*fetch : nullptr);
    if (!status.ok()) {
      return absl::Status(
          status.code(), absl::StrCat("layer ", layer, ": ", status.message()));
    }
  }
  RETURN_IF_ERROR(RunHead(logits));
  if (!fetched_expert_rows_.view().empty()) {
    RETURN_IF_ERROR(
        stream_.Copy(expert_rows_.view(), fetched_expert_rows_.view()));
  }
  RETURN_IF_ERROR(stream_.Synchronize());
  UpdateExpertLoad();
  if (fetch.has_value()) fetch->Finish(*trace);
  return absl::OkStatus();
}

absl::Status Decoder::RunHead(const TensorView& logits) {
  const int64_t rows = metadata_->logit_rows().dims[0];
  if (rows == 0) return absl::OkStatus();
  const bool on_host = stream_.device() == Device{};
  TensorView computed = logits;
  if (!on_host) {
    RETURN_IF_ERROR(
        EnsureCapacity(rows * limits_.num_logits, stream_, logits_));
    computed = logits_.AsRows(rows, limits_.num_logits);
  }
  RETURN_IF_ERROR(weights_.head.Forward(hidden_.view(), metadata_->logit_rows(),
                                        normed_.view(), computed, stream_));
  return on_host ? absl::OkStatus() : stream_.Copy(computed, logits);
}

void Decoder::UpdateExpertLoad() {
  const Tensor& counts =
      fetched_expert_rows_.view().empty() ? expert_rows_ : fetched_expert_rows_;
  for (size_t i = 0; i < expert_load_.layers.size(); ++i) {
    std::vector<int64_t>& rows = expert_load_.layers[i].rows_by_expert;
    std::copy_n(counts.ptr<int64_t>() + i * counts.dim(1), rows.size(),
                rows.begin());
  }
}

absl::Status Decoder::RunLayer(int64_t layer, const Batch& batch,
                               KvCache& cache, RoutingFetch* trace) {
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
                                              *metadata_, cache, layer,
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
  MoeLayerLoad* const load = load_of_layer_[layer];
  const int64_t load_idx = load - expert_load_.layers.data();
  TensorView expert_rows = expert_rows_.view().Rows(load_idx, load_idx + 1);
  expert_rows.rank = 1;
  expert_rows.dims[0] = static_cast<int64_t>(load->rows_by_expert.size());
  expert_rows.strides[0] = 1;
  ASSIGN_OR_RETURN(
      const GatingResult gating,
      weights.moe->Forward(normed, residual, hidden,
                           {batch.rows_on_data_ranks, load, expert_rows},
                           moe_scratch_, stream_));
  if (trace == nullptr) return absl::OkStatus();
  return trace->Fetch(layer, gating, stream_);
}

}  // namespace moe
