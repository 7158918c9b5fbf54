#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/moe_combine.h"
#include "kernels/ops/op_checks.h"

// Compiled once; what follows it, once per instruction set.
#ifndef MOE_KERNELS_OPS_MOE_COMBINE_CPU_ONCE_
#define MOE_KERNELS_OPS_MOE_COMBINE_CPU_ONCE_
namespace moe::cpu {

struct CombineRow {
  const float* expert_out;  // [slots, hidden]
  int64_t expert_stride;
  const int32_t* slots;  // [top_k]
  const float* weights;  // [top_k]
  int64_t top_k;
  const float* mlp;  // [hidden] or null
  float moe_share;   // multiplies the experts' sum, if there is an MLP
  float mlp_share;
  const float* residual;  // [hidden] or null
  float* y;               // [hidden]
};

}  // namespace moe::cpu
#endif  // MOE_KERNELS_OPS_MOE_COMBINE_CPU_ONCE_

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/moe_combine_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace moe::cpu::HWY_NAMESPACE {

void MoeCombineRow(const CombineRow& row, size_t hidden) {
  ForEachVector(hidden, [&](auto d, size_t i) HWY_ATTR {
    auto sum = hn::Zero(d);
    for (int64_t j = 0; j < row.top_k; ++j) {
      const float* out = row.expert_out + row.slots[j] * row.expert_stride;
      sum = hn::MulAdd(hn::Set(d, row.weights[j]), hn::LoadU(d, out + i), sum);
    }
    if (row.mlp != nullptr) {
      const auto mlp =
          hn::Mul(hn::Set(d, row.mlp_share), hn::LoadU(d, row.mlp + i));
      sum = hn::MulAdd(hn::Set(d, row.moe_share), sum, mlp);
    }
    if (row.residual != nullptr) {
      sum = hn::Add(hn::LoadU(d, row.residual + i), sum);
    }
    hn::StoreU(sum, d, row.y + i);
  });
}

}  // namespace moe::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace moe::cpu {
namespace {

HWY_EXPORT(MoeCombineRow);

const float* RowOrNull(const TensorView& view, int64_t row) {
  return view.empty() ? nullptr : view.ptr<float>() + row * RowStride(view);
}

absl::Status CheckSlots(const MoeCombineArgs& args) {
  const int64_t slots = args.expert_out.dims[0];
  for (int64_t r = 0; r < args.slot_of.dims[0]; ++r) {
    const int32_t* const row =
        args.slot_of.ptr<int32_t>() + r * RowStride(args.slot_of);
    for (int64_t j = 0; j < args.slot_of.dims[1]; ++j) {
      if (row[j] < 0 || row[j] >= slots) {
        return absl::InvalidArgumentError(
            absl::StrCat("MoeCombine: slot ", row[j], " of row ", r,
                         " is outside [0, ", slots, ")"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status MoeCombine(const MoeCombineArgs& args, CpuStream& stream) {
  const int64_t hidden = args.y.dims[1], top_k = args.weights.dims[1];
  RETURN_IF_ERROR(CheckSlots(args));
  const auto combine = HWY_DYNAMIC_DISPATCH(MoeCombineRow);
  ParallelRows(stream, args.y.dims[0], hidden * (top_k + 2),
               [&](int64_t begin, int64_t end) {
                 for (int64_t r = begin; r < end; ++r) {
                   float shares[2] = {1.0f, 1.0f};
                   if (const float* c = RowOrNull(args.coefficients, r)) {
                     const float max = std::max(c[0], c[1]);
                     const float e0 = std::exp(c[0] - max),
                                 e1 = std::exp(c[1] - max);
                     shares[0] = e0 / (e0 + e1);
                     shares[1] = e1 / (e0 + e1);
                   }
                   combine({.expert_out = args.expert_out.ptr<float>(),
                            .expert_stride = RowStride(args.expert_out),
                            .slots = args.slot_of.ptr<int32_t>() +
                                     r * RowStride(args.slot_of),
                            .weights = RowOrNull(args.weights, r),
                            .top_k = top_k,
                            .mlp = RowOrNull(args.mlp_out, r),
                            .moe_share = shares[args.moe_index],
                            .mlp_share = shares[1 - args.moe_index],
                            .residual = RowOrNull(args.residual, r),
                            .y = args.y.ptr<float>() + r * RowStride(args.y)},
                           hidden);
                 }
               });
  return absl::OkStatus();
}

}  // namespace moe::cpu
#endif  // HWY_ONCE
