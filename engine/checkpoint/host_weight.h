#pragma once

#include "kernels/core/tensor.h"

namespace moe {

// A weight as the engine wants it: row-major [out, in] on the host, in the
// dtype of the file. `view` points into `owned` if that is not empty, else into
// memory that a file has mapped (valid as long as the file is open).
struct HostWeight {
  TensorView view;
  Tensor owned;
};

}  // namespace moe
