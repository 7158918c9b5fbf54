#include "engine/layers/output_head.h"

#include <algorithm>

#include "kernels/core/status_macros.h"

namespace moe {

absl::Status OutputHead::Forward(const TensorView& hidden,
                                 absl::Span<const int32_t> rows,
                                 const TensorView& scratch,
                                 const TensorView& logits,
                                 Stream& stream) const {
  if (rows.empty()) return absl::OkStatus();
  const int64_t width = hidden.dims[1];
  for (size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(hidden.ptr<float>() + rows[i] * hidden.strides[0], width,
                scratch.ptr<float>() + i * scratch.strides[0]);
  }
  const TensorView x = scratch.Rows(0, static_cast<int64_t>(rows.size()));
  RETURN_IF_ERROR(norm_.Forward(x, x, stream));
  return Linear(weight_.Group(x, logits), stream);
}

}  // namespace moe
