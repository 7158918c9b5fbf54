#include "absl/strings/str_cat.h"
#include "kernels/ops/op_checks.h"
#include "kernels/ops/rope.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/rope_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace moe::cpu::HWY_NAMESPACE {

void RopeHead(const float* cos, const float* sin, size_t half, float* x) {
  ForEachVector(half, [&](auto d, size_t i) HWY_ATTR {
    const auto a = hn::LoadU(d, x + i);
    const auto b = hn::LoadU(d, x + half + i);
    const auto c = hn::LoadU(d, cos + i);
    const auto s = hn::LoadU(d, sin + i);
    hn::StoreU(hn::NegMulAdd(b, s, hn::Mul(a, c)), d, x + i);
    hn::StoreU(hn::MulAdd(a, s, hn::Mul(b, c)), d, x + half + i);
  });
}

}  // namespace moe::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace moe::cpu {

HWY_EXPORT(RopeHead);

absl::Status Rope(const RopeArgs& args, CpuStream& stream) {
  const int64_t heads = args.x.dims[1], head_dim = args.x.dims[2];
  const int64_t half = args.cos.dims[1];
  const int32_t* const positions = args.positions.ptr<int32_t>();
  for (int64_t r = 0; r < args.x.dims[0]; ++r) {
    if (positions[r] < 0 || positions[r] >= args.cos.dims[0]) {
      return absl::InvalidArgumentError(
          absl::StrCat("Rope: position ", positions[r], " of row ", r,
                       " is outside [0, ", args.cos.dims[0], ")"));
    }
  }
  const auto head = HWY_DYNAMIC_DISPATCH(RopeHead);
  ParallelRows(
      stream, args.x.dims[0], heads * half, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const int64_t p = positions[r];
          for (int64_t h = 0; h < heads; ++h) {
            head(args.cos.ptr<float>() + p * RowStride(args.cos),
                 args.sin.ptr<float>() + p * RowStride(args.sin), half,
                 args.x.ptr<float>() + r * RowStride(args.x) + h * head_dim);
          }
        }
      });
  return absl::OkStatus();
}

}  // namespace moe::cpu
#endif  // HWY_ONCE
