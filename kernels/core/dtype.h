#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace moe {

// Element types of tensors. kBf16 is the upper half of an IEEE float32.
enum class DType : uint8_t {
  kF32,
  kF16,
  kBf16,
  kF64,
  kI64,
  kI32,
  kI16,
  kI8,
  kU8,
  kBool,
};

// Bytes of one element.
size_t SizeOf(DType dtype);

// "f32", "bf16", ...
absl::string_view DTypeName(DType dtype);

// Exact conversions to float32; scalar, for loading and tests (the kernels have
// their own).
float HalfToFloat(uint16_t bits);
float Bf16ToFloat(uint16_t bits);

// Round to nearest even; overflow becomes infinity, NaN stays NaN.
uint16_t FloatToHalf(float value);
uint16_t FloatToBf16(float value);

}  // namespace moe
