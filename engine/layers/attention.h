#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/batch/step_metadata.h"
#include "engine/cache/kv_cache.h"
#include "engine/config/model_config.h"
#include "engine/layers/linear_weights.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Sizes are those of this rank's heads: configurations come from
// RankShard::LocalConfig.
struct AttentionScratch {
  static absl::StatusOr<AttentionScratch> Create(DeviceBackend& backend,
                                                 const ModelConfig& config,
                                                 int64_t max_rows);
  // Sized for the widest layer.
  Tensor qkv;      // [max_rows * (heads + 2 kv_heads) * head_dim]
  Tensor context;  // [max_rows * heads * head_dim]
};

// Rotation angles of all positions, shared by the layers with the same
// RopeConfig.
struct RopeTables {
  static absl::StatusOr<RopeTables> Create(const RopeConfig& config,
                                           int64_t max_positions,
                                           Stream& stream);
  Tensor cos;  // [max_positions, (rotary_dim + 1) / 2]
  Tensor sin;
};

// Causal self-attention over the paged cache:
//   q, k, v = split(x Wqkv^T + b);  rotate q and k;  append k and v;
//   y = residual + attention(q, cache) Wout^T + b.
// Immutable, so thread-safe (the caller owns scratch and cache).
class Attention {
 public:
  // qkv [(heads + 2 kv_heads) * head_dim, hidden], out [hidden, heads *
  // head_dim]. Borrows `rope`; null: no rotation.
  Attention(const AttentionConfig& config, LinearWeights qkv, LinearWeights out,
            const RopeTables* rope);

  // x, residual, y [rows, hidden] f32; y may alias residual, not x. If heads
  // are partitioned over ranks, y is this rank's term of the all-reduce: only
  // one rank has the bias and passes a residual; the others pass an empty one.
  absl::Status Forward(const TensorView& x, const TensorView& residual,
                       const TensorView& y, const StepMetadata& step,
                       KvCache& cache, int64_t layer, AttentionScratch& scratch,
                       Stream& stream) const;

 private:
  int64_t heads_;
  int64_t kv_heads_;
  int64_t head_dim_;
  LinearWeights qkv_;
  LinearWeights out_;
  const RopeTables* rope_;
};

}  // namespace moe
