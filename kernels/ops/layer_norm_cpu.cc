#include <cmath>

#include "kernels/ops/layer_norm.h"
#include "kernels/ops/op_checks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/layer_norm_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace moe::cpu::HWY_NAMESPACE {

// Two passes: the variance of x - mean has no cancellation.
void LayerNormRow(const float* x, const float* weight, const float* bias,
                  float epsilon, size_t n, float* y) {
  const float mean =
      SumVectors(n, [&](auto d, size_t i, auto s)
                        HWY_ATTR { return hn::Add(s, hn::LoadU(d, x + i)); }) /
      static_cast<float>(n);
  const float variance =
      SumVectors(n,
                 [&](auto d, size_t i, auto s) HWY_ATTR {
                   const auto c =
                       hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean));
                   return hn::MulAdd(c, c, s);
                 }) /
      static_cast<float>(n);
  const float scale = 1.0f / std::sqrt(variance + epsilon);
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    const auto c = hn::Sub(hn::LoadU(d, x + i), hn::Set(d, mean));
    const auto w = hn::LoadU(d, weight + i);
    const auto normal = hn::Mul(c, hn::Set(d, scale));
    const auto b = bias != nullptr ? hn::LoadU(d, bias + i) : hn::Zero(d);
    hn::StoreU(hn::MulAdd(normal, w, b), d, y + i);
  });
}

}  // namespace moe::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace moe::cpu {

HWY_EXPORT(LayerNormRow);

absl::Status LayerNorm(const LayerNormArgs& args, CpuStream& stream) {
  const int64_t hidden = args.x.dims[1];
  const auto row = HWY_DYNAMIC_DISPATCH(LayerNormRow);
  ParallelRows(stream, args.x.dims[0], hidden, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      row(args.x.ptr<float>() + r * RowStride(args.x), args.weight.ptr<float>(),
          args.bias.ptr<float>(), args.epsilon, hidden,
          args.y.ptr<float>() + r * RowStride(args.y));
    }
  });
  return absl::OkStatus();
}

}  // namespace moe::cpu
#endif  // HWY_ONCE
