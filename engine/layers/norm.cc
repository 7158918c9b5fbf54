#include "engine/layers/norm.h"

#include "kernels/ops/layer_norm.h"
#include "kernels/ops/rms_norm.h"

namespace moe {

absl::Status Norm::Forward(const TensorView& x, const TensorView& y,
                           Stream& stream) const {
  if (kind_ == NormKind::kRmsNorm) {
    return RmsNorm({x, weight_.view(), y, epsilon_}, stream);
  }
  return LayerNorm({x, weight_.view(), bias_.view(), y, epsilon_}, stream);
}

}  // namespace moe
