// The element-wise functions that a linear layer's epilogue can apply, compiled
// once per instruction set (Google Highway's include guard). Each is a fixed
// function of its input: the same bits in any lane.
#if defined(MOE_KERNELS_CPU_GELU_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MOE_KERNELS_CPU_GELU_INL_H_
#undef MOE_KERNELS_CPU_GELU_INL_H_
#else
#define MOE_KERNELS_CPU_GELU_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace moe::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), as x / (1 + exp(-2 u)),
// which keeps its relative accuracy where x is far below zero.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V GeluTanh(D d, V x) {
  constexpr float kMinus2Sqrt2OverPi = -1.5957691216f;
  const V scale =
      hn::MulAdd(hn::Mul(x, x), hn::Set(d, kMinus2Sqrt2OverPi * 0.044715f),
                 hn::Set(d, kMinus2Sqrt2OverPi));
  const V e = Exp(d, hn::Mul(x, scale));
  return hn::Div(x, hn::Add(hn::Set(d, 1.0f), e));
}

// 0.5 x (1 + erf(x / sqrt(2))). With a = |x|, the normal distribution's tail
// h(a) = erfc(a / sqrt(2)) / 2 gives x h(a) below zero and x - x h(a) above.
// h(a) = exp(-a^2 / 2) f(t) / (1 + a), where f is a polynomial in
// t = (a - 3) / (a + 3), fitted on 0 <= a <= 14 (relative error 4e-8); beyond,
// the exponential is zero.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V GeluErf(D d, V x) {
  constexpr float kTail[] = {4.8605579138e-1f,  -9.6526905894e-2f,
                             -1.6431665048e-2f, 4.5168023556e-2f,
                             -2.2733721882e-2f, 1.1283216299e-3f,
                             3.0092557427e-3f,  -2.5823860778e-4f,
                             -4.6246513375e-4f, -7.4001851817e-5f};
  const V one = hn::Set(d, 1.0f);
  const V three = hn::Set(d, 3.0f);
  const V a = hn::Abs(x);
  const V t = hn::Div(hn::Sub(a, three), hn::Add(a, three));
  V f = hn::Set(d, kTail[9]);
  for (int i = 8; i >= 0; --i) f = hn::MulAdd(f, t, hn::Set(d, kTail[i]));
  // What rounding a^2 loses would be an error of its size in the exponential.
  const V square = hn::Mul(a, a);
  const V lost = hn::MulSub(a, a, square);
  const V minus_half = hn::Set(d, -0.5f);
  V e = Exp(d, hn::Mul(square, minus_half));
  e = hn::MulAdd(hn::Mul(lost, minus_half), e, e);
  const V below = hn::Mul(x, hn::Div(hn::Mul(e, f), hn::Add(one, a)));
  // Infinite x (0 * inf above) and NaN: x itself, or 0 at -infinity.
  const V above = hn::Sub(x, below);
  const V result = hn::IfThenElse(hn::Lt(x, hn::Zero(d)), below, above);
  const V far = hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x);
  return hn::IfThenElse(hn::Lt(a, hn::Set(d, 14.0f)), result, far);
}

// max(x, 0)^2; NaN stays NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V SquaredRelu(D d, V x) {
  const V positive = hn::IfThenZeroElse(hn::Lt(x, hn::Zero(d)), x);
  return hn::Mul(positive, positive);
}

}  // namespace moe::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard
