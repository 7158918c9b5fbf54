#include "kernels/core/upload.h"

#include "absl/types/span.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<Tensor> Upload(Tensor host, Stream& stream) {
  if (host.view().empty() || stream.device() == Device{}) return host;
  const TensorView& view = host.view();
  ASSIGN_OR_RETURN(
      Tensor tensor,
      Tensor::Allocate(stream.backend(), view.dtype,
                       absl::MakeConstSpan(view.dims).first(view.rank)));
  RETURN_IF_ERROR(stream.Copy(view, tensor.view()));
  RETURN_IF_ERROR(stream.Synchronize());
  return tensor;
}

}  // namespace moe
