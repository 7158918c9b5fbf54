// Vector helpers shared by the CPU arms of the ops, compiled once per
// instruction set (Google Highway's include guard). Every result is a fixed
// function of its inputs: element-wise functions give the same bits in any
// lane, sums follow one order that depends on the length alone.
#if defined(MOE_KERNELS_CPU_VECTOR_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOE_KERNELS_CPU_VECTOR_MATH_INL_H_
#undef MOE_KERNELS_CPU_VECTOR_MATH_INL_H_
#else
#define MOE_KERNELS_CPU_VECTOR_MATH_INL_H_
#endif

#include <cstddef>
#include <limits>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace moe::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// exp(x) within 2 ulp. Exactly 0 below -87.3 (no denormals), infinity above
// 88.73, NaN stays NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp(D d, V x) {
  const hn::RebindToSigned<D> di;
  // x = n ln2 + r with |r| <= ln2 / 2; ln2 in two parts keeps r exact.
  const V clamped = hn::Max(hn::Min(x, hn::Set(d, 90.0f)), hn::Set(d, -90.0f));
  const V n = hn::Round(hn::Mul(clamped, hn::Set(d, 1.44269504f)));
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  // Taylor to r^7: the remainder is below 6e-9.
  V p = hn::Set(d, 1.0f / 5040);
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 720));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 120));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 24));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f / 6));
  p = hn::MulAdd(p, r, hn::Set(d, 0.5f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  p = hn::MulAdd(p, r, hn::Set(d, 1.0f));
  // 2^n in two factors, as 2^128 alone would overflow.
  const auto ni = hn::ConvertTo(di, n);
  const auto half = hn::ShiftRight<1>(ni);
  const auto bias = hn::Set(di, 127);
  const auto low = hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(half, bias)));
  const auto high =
      hn::BitCast(d, hn::ShiftLeft<23>(hn::Add(hn::Sub(ni, half), bias)));
  p = hn::Mul(hn::Mul(p, low), high);
  p = hn::IfThenElse(hn::Gt(x, hn::Set(d, 88.73f)),
                     hn::Set(d, std::numeric_limits<float>::infinity()), p);
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.3f)), p);
}

// Calls f(tag, i) for whole vectors and then for single elements, together
// covering [0, n). f must be element-wise.
template <class F>
HWY_INLINE void ForEachVector(size_t n, F&& f) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  size_t i = 0;
  for (; i + lanes <= n; i += lanes) f(d, i);
  const hn::CappedTag<float, 1> one;
  for (; i < n; ++i) f(one, i);
}

// Sum over [0, n) of accumulate(tag, i, sum) in a fixed order: four vectors of
// partial sums, then the tail in its own chain.
template <class F>
HWY_INLINE float SumVectors(size_t n, F&& accumulate) {
  const hn::ScalableTag<float> d;
  const size_t lanes = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {
    s0 = accumulate(d, i, s0);
    s1 = accumulate(d, i + lanes, s1);
    s2 = accumulate(d, i + 2 * lanes, s2);
    s3 = accumulate(d, i + 3 * lanes, s3);
  }
  for (; i + lanes <= n; i += lanes) s0 = accumulate(d, i, s0);
  const hn::CappedTag<float, 1> one;
  auto tail = hn::Zero(one);
  for (; i < n; ++i) tail = accumulate(one, i, tail);
  const auto sum = hn::Add(hn::Add(s0, s1), hn::Add(s2, s3));
  return hn::GetLane(hn::SumOfLanes(d, sum)) + hn::GetLane(tail);
}

}  // namespace moe::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
