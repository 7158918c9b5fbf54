#pragma once

#include <cstdint>

#include "kernels/core/dtype.h"
#include "kernels/core/tensor.h"

// The order in which the CPU kernels read a weight [out, in]. With L float
// lanes in a vector, a panel is 2L output features: columns c .. c + 2L of the
// transposed weight. Panels follow each other; a panel holds, for each input k
// ascending, its 2L weights of k next to each other, so a product reads memory
// strictly forwards. Missing columns of the last panel are zeros. Within a k:
//   kF32, kF16   column 0 .. 2L - 1
//   kBf16        L words of 32 bits, column l in the low and column L + l in
//                the high half: one shift and one mask make two float vectors.
namespace moe::cpu {

// 2L for the instruction set in use (kernels/core/cpu_features.h).
int32_t PanelColumns();

inline int64_t NumPanels(int64_t out_features, int64_t panel_columns) {
  return (out_features + panel_columns - 1) / panel_columns;
}

inline int64_t PanelBytes(DType dtype, int64_t in_features,
                          int64_t panel_columns) {
  return in_features * panel_columns * static_cast<int64_t>(SizeOf(dtype));
}

// Writes panel `panel` of `source` [out, in] (kF32, kF16 or kBf16, any strides)
// as `dtype` (one of the same) to `out`, PanelBytes() long and zeroed. Rounds
// to nearest even; f16 to f16 and bf16 to bf16 copy the bits.
void PackPanel(const TensorView& source, DType dtype, int64_t panel_columns,
               int64_t panel, uint8_t* out);

}  // namespace moe::cpu
