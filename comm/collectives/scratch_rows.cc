#include "comm/collectives/scratch_rows.h"

#include "kernels/core/dtype.h"
#include "kernels/core/ensure_capacity.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<TensorView> ScratchRows(Tensor& scratch, int64_t rows,
                                       const TensorView& like, Stream& stream) {
  const int64_t width = like.dims[1];
  const int64_t bytes = rows * width * static_cast<int64_t>(SizeOf(like.dtype));
  const auto element = static_cast<int64_t>(sizeof(float));
  RETURN_IF_ERROR(
      EnsureCapacity((bytes + element - 1) / element, stream, scratch));
  return MakeView(scratch.ptr<float>(), like.dtype, {rows, width},
                  stream.device());
}

}  // namespace moe
