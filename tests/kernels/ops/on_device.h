#pragma once

#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/count_expert_rows.h"
#include "kernels/ops/embedding.h"
#include "kernels/ops/expert_linear.h"
#include "kernels/ops/gather_rows.h"
#include "kernels/ops/kv_cache_append.h"
#include "kernels/ops/layer_norm.h"
#include "kernels/ops/linear.h"
#include "kernels/ops/moe_combine.h"
#include "kernels/ops/moe_gating.h"
#include "kernels/ops/pack_tokens.h"
#include "kernels/ops/paged_attention.h"
#include "kernels/ops/rms_norm.h"
#include "kernels/ops/rope.h"
#include "kernels/ops/scatter_rows.h"
#include "kernels/ops/silu_and_mul.h"
#include "kernels/ops/sort_by_expert.h"

namespace moe {

// Puts copies of host tensors on a stream's device as long as it lives. Views
// that overlap share a copy. On the host itself nothing is copied.
class DeviceCopies {
 public:
  // Enqueues the copies and lets the views, which may be empty, point to them.
  DeviceCopies(std::vector<TensorView*> views, Stream& stream);
  // Waits, and brings what is on the device back. The first error of the
  // stream's work.
  absl::Status Return();

 private:
  struct Range {
    TensorView host;  // [bytes] u8
    Tensor device;
  };
  Stream& stream_;
  std::vector<Range> ranges_;
};

// A view of host memory that the test only reads.
template <typename T>
TensorView ViewOf(const std::vector<T>& values) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  return MakeView(const_cast<T*>(values.data()),
                  sizeof(T) == 4 ? DType::kI32 : DType::kI64,
                  {static_cast<int64_t>(values.size())});
}

// All tensors of an op's arguments.
inline std::vector<TensorView*> Views(CountExpertRowsArgs& a) {
  return {&a.expert_offsets, &a.counts};
}
inline std::vector<TensorView*> Views(EmbeddingArgs& a) {
  return {&a.token_ids, &a.positions, &a.table, &a.position_table, &a.y};
}
inline std::vector<TensorView*> Views(GatherRowsArgs& a) {
  return {&a.x, &a.index, &a.y};
}
inline std::vector<TensorView*> Views(ScatterRowsArgs& a) {
  return {&a.x, &a.index, &a.y};
}
inline std::vector<TensorView*> Views(KvCacheAppendArgs& a) {
  return {&a.k, &a.v, &a.kv_slots, &a.key_cache, &a.value_cache};
}
inline std::vector<TensorView*> Views(LayerNormArgs& a) {
  return {&a.x, &a.weight, &a.bias, &a.y};
}
inline std::vector<TensorView*> Views(LinearGroup& a) {
  return {&a.x, &a.x_rows, &a.bias, &a.residual, &a.y};
}
inline std::vector<TensorView*> Views(MoeCombineArgs& a) {
  return {&a.expert_out,   &a.slot_of,  &a.weights, &a.mlp_out,
          &a.coefficients, &a.residual, &a.y};
}
inline std::vector<TensorView*> Views(MoeGatingArgs& a) {
  return {&a.logits,         &a.expert_ids,  &a.weights,
          &a.expert_offsets, &a.row_of_slot, &a.slot_of};
}
inline std::vector<TensorView*> Views(PackSlotsArgs& a) {
  return {&a.x, &a.row_of_slot, &a.expert_offsets, &a.y};
}
inline std::vector<TensorView*> Views(PackTokensArgs& a) {
  return {&a.x, &a.expert_ids, &a.y};
}
inline std::vector<TensorView*> Views(PagedAttentionArgs& a) {
  return {&a.q,
          &a.key_cache,
          &a.value_cache,
          &a.sequence_offsets,
          &a.context_lengths,
          &a.block_table,
          &a.out};
}
inline std::vector<TensorView*> Views(RmsNormArgs& a) {
  return {&a.x, &a.weight, &a.y};
}
inline std::vector<TensorView*> Views(RopeArgs& a) {
  return {&a.x, &a.positions, &a.cos, &a.sin};
}
inline std::vector<TensorView*> Views(SiluAndMulArgs& a) {
  return {&a.x, &a.y};
}
inline std::vector<TensorView*> Views(SortByExpertArgs& a) {
  return {&a.expert_ids, &a.expert_offsets, &a.row_of_slot, &a.slot_of};
}

// Runs `op` on the stream's device with the host tensors of `args`, whose
// results are there when it returns.
template <typename Args>
absl::Status OnDevice(absl::Status (*op)(const Args&, Stream&),
                      std::type_identity_t<Args> args, Stream& stream) {
  DeviceCopies copies(Views(args), stream);
  const absl::Status status = op(args, stream);
  const absl::Status returned = copies.Return();
  return status.ok() ? returned : status;
}

inline absl::Status LinearOnDevice(absl::Span<const LinearGroup> groups,
                                   Stream& stream) {
  std::vector<LinearGroup> copied(groups.begin(), groups.end());
  std::vector<TensorView*> views;
  for (LinearGroup& group : copied) {
    for (TensorView* view : Views(group)) views.push_back(view);
  }
  DeviceCopies copies(std::move(views), stream);
  const absl::Status status = GroupedLinear(copied, stream);
  const absl::Status returned = copies.Return();
  return status.ok() ? returned : status;
}

}  // namespace moe
