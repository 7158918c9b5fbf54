#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/config/layer_config.h"
#include "engine/layers/linear_weights.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/linear.h"

namespace moe {

// down(activation(up(x))). Immutable after loading.
struct MlpWeights {
  LinearWeights up;  // [ffn, hidden]; SwiGLU: [2 ffn, hidden], gate rows first
  LinearWeights down;  // [hidden, ffn]
};

// Activations between up and down, sized once for the largest step.
struct MlpScratch {
  // Sized for the widest of `mlps`, which have this rank's features; empty if
  // there are none.
  static absl::StatusOr<MlpScratch> Create(DeviceBackend& backend,
                                           absl::Span<const MlpConfig> mlps,
                                           int64_t max_rows);
  Tensor up;         // [max_rows, ffn or 2 ffn]
  Tensor activated;  // [max_rows, ffn] with SwiGLU, else empty
};

// One MLP of a grouped run: y[r, :] = mlp(x[r, :]) (+ residual[r, :]).
struct MlpJob {
  const MlpWeights* weights = nullptr;
  TensorView x;          // [rows, hidden]
  TensorView residual;   // [rows, hidden], or empty; may alias y
  TensorView y;          // [rows, hidden]
  TensorView up;         // scratch [rows, up features]
  TensorView activated;  // scratch [rows, ffn] with SwiGLU
};

// Assigns rows [begin, end) of `scratch` to `job`, whose weights are set; they
// may be narrower than the scratch.
void UseScratch(const MlpScratch& scratch, int64_t begin, int64_t end,
                MlpJob& job);

// The epilogue of the product `up` of a MLP.
Epilogue EpilogueOf(ActivationKind activation);

// Runs all jobs as two grouped products, so that the weights of many small
// experts are read as one stream. A row's result does not depend on the other
// jobs.
absl::Status RunMlps(absl::Span<const MlpJob> jobs, ActivationKind activation,
                     Stream& stream);

// The two halves of RunGroupedMlp, for callers that overlap them with
// communication: up and activation, then down.
absl::Status RunMlpUps(absl::Span<const MlpJob> jobs, ActivationKind activation,
                       Stream& stream);
absl::Status RunMlpDowns(absl::Span<const MlpJob> jobs,
                         ActivationKind activation, Stream& stream);

}  // namespace moe
