#include "kernels/cpu/packed_matrix.h"

#include <algorithm>
#include <bit>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/packed_matrix.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace moe::cpu::HWY_NAMESPACE {
namespace {

int32_t TwiceFloatLanes() {
  const hwy::HWY_NAMESPACE::ScalableTag<float> d;
  return 2 * static_cast<int32_t>(hwy::HWY_NAMESPACE::Lanes(d));
}

}  // namespace
}  // namespace moe::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace moe::cpu {
namespace {

HWY_EXPORT(TwiceFloatLanes);

// Inputs transposed at a time: a block of a panel stays in the first-level
// cache while its columns are written one after the other.
constexpr int64_t kBlock = 64;

// Without branches or calls, so that the compiler can vectorise the loops
// around it. Exact, subnormals included; NaNs keep their payload.
inline float WidenHalf(uint16_t half) {
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fff) << 13;
  // 2^112 moves the exponent from a half's bias to a float's.
  uint32_t bits =
      std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) * 0x1p112f);
  bits |= magnitude >= 0x0f800000 ? 0x7f800000 : 0;
  bits |= static_cast<uint32_t>(half & 0x8000) << 16;
  return std::bit_cast<float>(bits);
}

inline float WidenBf16(uint16_t bf16) {
  return std::bit_cast<float>(static_cast<uint32_t>(bf16) << 16);
}

inline uint16_t NarrowToBf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const uint32_t quiet_nan = (bits >> 16) | 0x40;
  return (bits & 0x7fffffff) > 0x7f800000 ? quiet_nan : rounded;
}

// The conversions from source type S to packed type T, given their DTypes.
template <DType kFrom, DType kTo, typename S>
inline auto Convert(S value) {
  if constexpr (kFrom == kTo) {
    return value;
  } else if constexpr (kTo == DType::kF32) {
    return kFrom == DType::kF16 ? WidenHalf(value) : WidenBf16(value);
  } else {
    float wide;
    if constexpr (kFrom == DType::kF32) {
      wide = value;
    } else {
      wide = Convert<kFrom, DType::kF32>(value);
    }
    return kTo == DType::kBf16 ? NarrowToBf16(wide) : FloatToHalf(wide);
  }
}

template <DType kFrom, DType kTo, typename S, typename T>
void Pack(const TensorView& source, int64_t panel_columns, int64_t panel,
          T* out) {
  const int64_t begin = panel * panel_columns;
  const int64_t columns = std::min(panel_columns, source.dims[0] - begin);
  const int64_t in_features = source.dims[1];
  const int64_t lanes = panel_columns / 2;
  for (int64_t k0 = 0; k0 < in_features; k0 += kBlock) {
    const int64_t num_k = std::min(kBlock, in_features - k0);
    for (int64_t column = 0; column < columns; ++column) {
      const S* from = source.ptr<S>() + (begin + column) * source.strides[0] +
                      k0 * source.strides[1];
      T row[kBlock];
      if (source.strides[1] == 1) {
        for (int64_t k = 0; k < num_k; ++k) {
          row[k] = Convert<kFrom, kTo>(from[k]);
        }
      } else {
        for (int64_t k = 0; k < num_k; ++k) {
          row[k] = Convert<kFrom, kTo>(from[k * source.strides[1]]);
        }
      }
      int64_t place = column;
      if constexpr (kTo == DType::kBf16) {
        place = column < lanes ? 2 * column : 2 * (column - lanes) + 1;
      }
      T* to = out + k0 * panel_columns + place;
      for (int64_t k = 0; k < num_k; ++k) to[k * panel_columns] = row[k];
    }
  }
}

template <DType kFrom, typename S>
void PackFrom(const TensorView& source, DType dtype, int64_t panel_columns,
              int64_t panel, uint8_t* out) {
  switch (dtype) {
    case DType::kBf16:
      return Pack<kFrom, DType::kBf16, S>(source, panel_columns, panel,
                                          reinterpret_cast<uint16_t*>(out));
    case DType::kF16:
      return Pack<kFrom, DType::kF16, S>(source, panel_columns, panel,
                                         reinterpret_cast<uint16_t*>(out));
    default:
      return Pack<kFrom, DType::kF32, S>(source, panel_columns, panel,
                                         reinterpret_cast<float*>(out));
  }
}

}  // namespace

int32_t PanelColumns() { return HWY_DYNAMIC_DISPATCH(TwiceFloatLanes)(); }

void PackPanel(const TensorView& source, DType dtype, int64_t panel_columns,
               int64_t panel, uint8_t* out) {
  switch (source.dtype) {
    case DType::kBf16:
      return PackFrom<DType::kBf16, uint16_t>(source, dtype, panel_columns,
                                              panel, out);
    case DType::kF16:
      return PackFrom<DType::kF16, uint16_t>(source, dtype, panel_columns,
                                             panel, out);
    default:
      return PackFrom<DType::kF32, float>(source, dtype, panel_columns, panel,
                                          out);
  }
}

}  // namespace moe::cpu
#endif  // HWY_ONCE
