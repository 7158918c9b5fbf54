#include <cmath>

#include "kernels/ops/op_checks.h"
#include "kernels/ops/rms_norm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/rms_norm_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace moe::cpu::HWY_NAMESPACE {

void RmsNormRow(const float* x, const float* weight, float epsilon, size_t n,
                float* y) {
  const float mean_square = SumVectors(n,
                                       [&](auto d, size_t i, auto s) HWY_ATTR {
                                         const auto v = hn::LoadU(d, x + i);
                                         return hn::MulAdd(v, v, s);
                                       }) /
                            static_cast<float>(n);
  const float scale = 1.0f / std::sqrt(mean_square + epsilon);
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    const auto normal = hn::Mul(hn::LoadU(d, x + i), hn::Set(d, scale));
    hn::StoreU(hn::Mul(normal, hn::LoadU(d, weight + i)), d, y + i);
  });
}

}  // namespace moe::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace moe::cpu {

HWY_EXPORT(RmsNormRow);

absl::Status RmsNorm(const RmsNormArgs& args, CpuStream& stream) {
  const int64_t hidden = args.x.dims[1];
  const auto row = HWY_DYNAMIC_DISPATCH(RmsNormRow);
  ParallelRows(stream, args.x.dims[0], hidden, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      row(args.x.ptr<float>() + r * RowStride(args.x), args.weight.ptr<float>(),
          args.epsilon, hidden, args.y.ptr<float>() + r * RowStride(args.y));
    }
  });
  return absl::OkStatus();
}

}  // namespace moe::cpu
#endif  // HWY_ONCE
