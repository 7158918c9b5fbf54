#include "tests/support/weight_values.h"

#include <cstdlib>

namespace moe {

std::vector<float> WeightValues(const TensorView& view) {
  std::vector<float> values(static_cast<size_t>(view.num_elements()));
  for (size_t i = 0; i < values.size(); ++i) {
    switch (view.dtype) {
      case DType::kF32:
        values[i] = view.ptr<float>()[i];
        break;
      case DType::kF16:
        values[i] = HalfToFloat(view.ptr<uint16_t>()[i]);
        break;
      case DType::kBf16:
        values[i] = Bf16ToFloat(view.ptr<uint16_t>()[i]);
        break;
      default:
        std::abort();  // not a weight
    }
  }
  return values;
}

}  // namespace moe
