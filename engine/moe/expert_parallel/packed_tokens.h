#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/core/tensor.h"

namespace moe {

// A row on its way to experts: its hidden values, f32, then the ids of experts
// it is for, i32, padded to whole cache lines. The ids spare the exchange that
// would tell how many rows come for which expert.
struct RowFormat {
  int64_t hidden = 0;
  int64_t num_ids = 1;

  // In elements of 4 bytes.
  int64_t stride() const { return (hidden + num_ids + 15) / 16 * 16; }
  size_t bytes() const { return static_cast<size_t>(stride()) * 4; }

  // The first `rows` packed rows in `memory` (f32): [rows, stride()].
  TensorView Packed(const Tensor& memory, int64_t rows) const {
    return memory.AsRows(rows, stride());
  }
  // Their hidden values, [rows, hidden] f32 with gaps.
  TensorView Hidden(const TensorView& packed) const {
    TensorView view = packed;
    view.dims[1] = hidden;
    return view;
  }
  // Their ids, [rows, num_ids] i32 with gaps.
  TensorView Ids(const TensorView& packed) const {
    TensorView view = packed;
    view.data = packed.ptr<float>() + hidden;
    view.dtype = DType::kI32;
    view.dims[1] = num_ids;
    return view;
  }
};

}  // namespace moe
