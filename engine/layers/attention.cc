#include "engine/layers/attention.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/core/status_macros.h"
#include "kernels/core/upload.h"
#include "kernels/ops/kv_cache_append.h"
#include "kernels/ops/paged_attention.h"
#include "kernels/ops/rope.h"

namespace moe {
namespace {

// Heads [first, first + count) of the rows of a [rows, all heads * head_dim]
// matrix, as [rows, count, head_dim].
TensorView Heads(const TensorView& matrix, int64_t first, int64_t count,
                 int64_t head_dim) {
  TensorView view = matrix;
  view.data = matrix.ptr<float>() + first * head_dim;
  view.rank = 3;
  view.dims = {matrix.dims[0], count, head_dim};
  view.strides = {matrix.strides[0], head_dim, 1};
  return view;
}

}  // namespace

absl::StatusOr<AttentionScratch> AttentionScratch::Create(
    DeviceBackend& backend, const ModelConfig& config, int64_t max_rows) {
  AttentionScratch scratch;
  int64_t qkv = 0, context = 0;
  for (const LayerConfig& layer : config.layers) {
    qkv = std::max(qkv, layer.attention.qkv_rows());
    context = std::max(context, layer.attention.query_rows());
  }
  const DType dtype = backend.activation_dtype();
  ASSIGN_OR_RETURN(scratch.qkv,
                   Tensor::Allocate(backend, dtype, {max_rows * qkv}));
  ASSIGN_OR_RETURN(scratch.context,
                   Tensor::Allocate(backend, dtype, {max_rows * context}));
  return scratch;
}

absl::StatusOr<RopeTables> RopeTables::Create(const RopeConfig& config,
                                              int64_t max_positions,
                                              Stream& stream) {
  RopeTables tables;
  const int64_t half = (config.rotary_dim + 1) / 2;
  ASSIGN_OR_RETURN(tables.cos,
                   Tensor::Allocate(DType::kF32, {max_positions, half}));
  ASSIGN_OR_RETURN(tables.sin,
                   Tensor::Allocate(DType::kF32, {max_positions, half}));
  RETURN_IF_ERROR(FillRopeTables(config.theta, config.rotary_dim,
                                 config.double_cos_quirk, tables.cos.view(),
                                 tables.sin.view()));
  ASSIGN_OR_RETURN(tables.cos, Upload(std::move(tables.cos), stream));
  ASSIGN_OR_RETURN(tables.sin, Upload(std::move(tables.sin), stream));
  return tables;
}

Attention::Attention(const AttentionConfig& config, LinearWeights qkv,
                     LinearWeights out, const RopeTables* rope)
    : heads_(config.num_heads),
      kv_heads_(config.num_kv_heads),
      head_dim_(config.head_dim),
      qkv_(std::move(qkv)),
      out_(std::move(out)),
      rope_(rope) {}

absl::Status Attention::Forward(const TensorView& x, const TensorView& residual,
                                const TensorView& y, const StepMetadata& step,
                                KvCache& cache, int64_t layer,
                                AttentionScratch& scratch,
                                Stream& stream) const {
  const TensorView qkv =
      scratch.qkv.AsRows(x.dims[0], (heads_ + 2 * kv_heads_) * head_dim_);
  const TensorView context =
      scratch.context.AsRows(x.dims[0], heads_ * head_dim_);
  RETURN_IF_ERROR(Linear(qkv_.Group(x, qkv), stream));
  if (rope_ != nullptr) {
    // Query and key heads are adjacent, so one call rotates both.
    RETURN_IF_ERROR(
        Rope({Heads(qkv, 0, heads_ + kv_heads_, head_dim_), step.positions(),
              rope_->cos.view(), rope_->sin.view()},
             stream));
  }
  RETURN_IF_ERROR(
      KvCacheAppend({Heads(qkv, heads_, kv_heads_, head_dim_),
                     Heads(qkv, heads_ + kv_heads_, kv_heads_, head_dim_),
                     step.kv_slots(), cache.keys(layer), cache.values(layer)},
                    stream));
  RETURN_IF_ERROR(
      PagedAttention({.q = Heads(qkv, 0, heads_, head_dim_),
                      .key_cache = cache.keys(layer),
                      .value_cache = cache.values(layer),
                      .sequence_offsets = step.sequence_offsets(),
                      .context_lengths = step.context_lengths(),
                      .block_table = step.block_table(),
                      .scale = 1.0f / std::sqrt(static_cast<float>(head_dim_)),
                      .out = Heads(context, 0, heads_, head_dim_)},
                     stream));
  LinearGroup out = out_.Group(context, y);
  out.residual = residual;
  return Linear(out, stream);
}

}  // namespace moe
