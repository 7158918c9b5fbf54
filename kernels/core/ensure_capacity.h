#pragma once

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Elements that EnsureCapacity may add to a tensor of `now`, at most, when it
// must hold up to `most`.
inline int64_t MaxGrowth(int64_t most, int64_t now) {
  return most <= now ? 0 : most + most / 2 - now;
}

// Makes `tensor` (if it is none yet, of `dtype`) one of at least `elements` on
// the stream's device, and never none, with room for half as many again if it
// must grow; then what was in it is lost. Views of it may have any shape that
// fits. kResourceExhausted.
inline absl::Status EnsureCapacity(int64_t elements, Stream& stream,
                                   Tensor& tensor, DType dtype = DType::kF32) {
  elements = std::max<int64_t>(elements, 1);
  const bool first = tensor.view().empty();
  if (!first && tensor.view().num_elements() >= elements) {
    return absl::OkStatus();
  }
  if (!first) dtype = tensor.dtype();
  // The old one goes first: both together may be too much. Ops that are under
  // way may still use it.
  if (!first) RETURN_IF_ERROR(stream.Synchronize());
  tensor = Tensor();
  ASSIGN_OR_RETURN(
      tensor, Tensor::Allocate(stream.backend(), dtype,
                               {first ? elements : elements + elements / 2}));
  return absl::OkStatus();
}

}  // namespace moe
