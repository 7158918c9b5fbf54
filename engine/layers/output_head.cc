#include "engine/layers/output_head.h"

#include "kernels/core/status_macros.h"
#include "kernels/ops/gather_rows.h"

namespace moe {

absl::Status OutputHead::Forward(const TensorView& hidden,
                                 const TensorView& rows,
                                 const TensorView& scratch,
                                 const TensorView& logits,
                                 Stream& stream) const {
  if (rows.dims[0] == 0) return absl::OkStatus();
  const TensorView x = scratch.Rows(0, rows.dims[0]);
  RETURN_IF_ERROR(GatherRows({hidden, rows, x}, stream));
  RETURN_IF_ERROR(norm_.Forward(x, x, stream));
  return Linear(weight_.Group(x, logits), stream);
}

}  // namespace moe
