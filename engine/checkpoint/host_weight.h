#pragma once

#include "kernels/core/tensor.h"

namespace moe {

// A weight in host memory: row-major [out, in], in the dtype of the file.
// `view` points into `owned` if that is not empty, else into the mapped file
// (valid while the file is open).
struct HostWeight {
  TensorView view;
  Tensor owned;
};

}  // namespace moe
