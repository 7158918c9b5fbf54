#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/ops/moe_gating.h"
#include "kernels/ops/op_checks.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/moe_gating_cpu.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace moe::cpu::HWY_NAMESPACE {

// Sum over e of exp(logits[e] - max): the denominator of the softmax.
float SumOfExp(const float* logits, float max, size_t n) {
  return SumVectors(n, [&](auto d, size_t i, auto s) HWY_ATTR {
    const auto z = hn::Sub(hn::LoadU(d, logits + i), hn::Set(d, max));
    return hn::Add(s, Exp(d, z));
  });
}

float ExpOne(float x) {
  const hn::CappedTag<float, 1> one;
  return hn::GetLane(Exp(one, hn::Set(one, x)));
}

}  // namespace moe::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace moe::cpu {
namespace {

HWY_EXPORT(SumOfExp);
HWY_EXPORT(ExpOne);

// DeepSpeed's lower bound of the sum that weights are divided by.
constexpr float kMinWeightSum = 1.1920929e-7f;

// Fills ids [top_k] by descending logit, the lowest id first among equals.
void TopK(const float* logits, int64_t experts, int64_t top_k, int32_t* ids) {
  int64_t found = 0;
  for (int64_t e = 0; e < experts; ++e) {
    int64_t j = found;
    while (j > 0 && logits[e] > logits[ids[j - 1]]) --j;
    if (j >= top_k) continue;
    if (found < top_k) ++found;
    std::copy_backward(ids + j, ids + found - 1, ids + found);
    ids[j] = static_cast<int32_t>(e);
  }
}

// False, and nothing done, if the row has a NaN or no finite maximum.
bool GateRow(const float* logits, int64_t experts, int64_t top_k,
             bool normalize, int32_t* ids, float* weights) {
  float max = -std::numeric_limits<float>::infinity();
  for (int64_t e = 0; e < experts; ++e) {
    if (std::isnan(logits[e])) return false;
    max = std::max(max, logits[e]);
  }
  if (!std::isfinite(max)) return false;
  TopK(logits, experts, top_k, ids);
  const float sum = HWY_DYNAMIC_DISPATCH(SumOfExp)(logits, max, experts);
  float chosen = 0;
  for (int64_t j = 0; j < top_k; ++j) {
    weights[j] = HWY_DYNAMIC_DISPATCH(ExpOne)(logits[ids[j]] - max) / sum;
    chosen += weights[j];
  }
  if (normalize) {
    for (int64_t j = 0; j < top_k; ++j) {
      weights[j] /= std::max(chosen, kMinWeightSum);
    }
  }
  return true;
}

}  // namespace

absl::Status MoeGating(const MoeGatingArgs& args, CpuStream& stream) {
  const int64_t rows = args.logits.dims[0], experts = args.logits.dims[1];
  const int64_t top_k = args.expert_ids.dims[1];
  ParallelRows(stream, rows, 8 * experts, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      int32_t* ids =
          args.expert_ids.ptr<int32_t>() + r * RowStride(args.expert_ids);
      float* weights = args.weights.ptr<float>() + r * RowStride(args.weights);
      if (!GateRow(args.logits.ptr<float>() + r * RowStride(args.logits),
                   experts, top_k, args.normalize, ids, weights)) {
        std::iota(ids, ids + top_k, 0);
        std::fill(weights, weights + top_k,
                  std::numeric_limits<float>::quiet_NaN());
      }
    }
  });

  // Counting sort by expert, stable in (row, choice).
  int32_t* offsets = args.expert_offsets.ptr<int32_t>();
  std::fill(offsets, offsets + experts + 1, 0);
  for (int64_t r = 0; r < rows; ++r) {
    const int32_t* ids =
        args.expert_ids.ptr<int32_t>() + r * RowStride(args.expert_ids);
    for (int64_t j = 0; j < top_k; ++j) ++offsets[ids[j]];
  }
  // offsets[e] := end of expert e; filled from the back they become starts.
  for (int64_t e = 1; e <= experts; ++e) offsets[e] += offsets[e - 1];
  for (int64_t r = rows - 1; r >= 0; --r) {
    const int32_t* ids =
        args.expert_ids.ptr<int32_t>() + r * RowStride(args.expert_ids);
    int32_t* slot_of =
        args.slot_of.ptr<int32_t>() + r * RowStride(args.slot_of);
    for (int64_t j = top_k - 1; j >= 0; --j) {
      const int32_t slot = --offsets[ids[j]];
      slot_of[j] = slot;
      args.row_of_slot.ptr<int32_t>()[slot] = static_cast<int32_t>(r);
    }
  }
  return absl::OkStatus();
}

}  // namespace moe::cpu
#endif  // HWY_ONCE
