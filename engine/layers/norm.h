#pragma once

#include "absl/status/status.h"
#include "engine/config/model_config.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// LayerNorm or RMSNorm with its weights. Immutable, so thread-safe.
class Norm {
 public:
  // weight [hidden] f32 (gamma itself, not gamma - 1); bias [hidden] f32, or
  // empty.
  Norm(NormKind kind, float epsilon, Tensor weight, Tensor bias)
      : kind_(kind),
        epsilon_(epsilon),
        weight_(std::move(weight)),
        bias_(std::move(bias)) {}

  // y = norm(x) by row; x and y [rows, hidden] f32, y may alias x.
  absl::Status Forward(const TensorView& x, const TensorView& y,
                       Stream& stream) const;

 private:
  NormKind kind_;
  float epsilon_;
  Tensor weight_;
  Tensor bias_;
};

}  // namespace moe
