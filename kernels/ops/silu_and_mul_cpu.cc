#include "kernels/ops/op_checks.h"
#include "kernels/ops/silu_and_mul.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/silu_and_mul_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace moe::cpu::HWY_NAMESPACE {

void SiluAndMulRow(const float* gate, const float* up, size_t n, float* y) {
  ForEachVector(n, [&](auto d, size_t i) HWY_ATTR {
    const auto z = hn::LoadU(d, gate + i);
    const auto e = Exp(d, hn::Neg(z));
    const auto silu = hn::Div(z, hn::Add(hn::Set(d, 1.0f), e));
    hn::StoreU(hn::Mul(silu, hn::LoadU(d, up + i)), d, y + i);
  });
}

}  // namespace moe::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace moe::cpu {

HWY_EXPORT(SiluAndMulRow);

absl::Status SiluAndMul(const SiluAndMulArgs& args, CpuStream& stream) {
  const int64_t n = args.y.dims[1];
  const auto row = HWY_DYNAMIC_DISPATCH(SiluAndMulRow);
  ParallelRows(stream, args.y.dims[0], 4 * n, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* x = args.x.ptr<float>() + r * RowStride(args.x);
      row(x, x + n, n, args.y.ptr<float>() + r * RowStride(args.y));
    }
  });
  return absl::OkStatus();
}

}  // namespace moe::cpu
#endif  // HWY_ONCE
