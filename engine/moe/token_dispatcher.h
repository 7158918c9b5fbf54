#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Which experts the rows of a layer chose, and the table that sorts the (row,
// choice) pairs, "slots", by expert (see MoeGating). Views into the layer's
// scratch, valid until its next run.
struct GatingResult {
  TensorView expert_ids;      // [rows, top_k] i32
  TensorView weights;         // [rows, top_k] f32
  TensorView expert_offsets;  // [experts + 1] i32
  TensorView row_of_slot;     // [rows * top_k] i32
  TensorView slot_of;         // [rows, top_k] i32
};

// The rows that this rank's experts are to compute: slot s, of the local expert
// e with expert_offsets[e] <= s < expert_offsets[e + 1], is row x_rows[s] of
// `x`. A handle: views that stay valid until its Combine.
struct DispatchedTokens {
  TensorView x;                              // [any, hidden] f32
  absl::Span<const int32_t> x_rows;          // [slots]
  absl::Span<const int32_t> expert_offsets;  // [local_experts + 1]

  int64_t num_slots() const { return static_cast<int64_t>(x_rows.size()); }
};

// Brings rows to the ranks of their experts and the results back. Every rank
// calls Dispatch and then Combine once per layer, in the same order. Not
// thread-safe; one dispatch at a time.
class TokenDispatcher {
 public:
  virtual ~TokenDispatcher() = default;

  // hidden [rows, hidden]: this rank's rows, gated by `gating`. Both stay
  // untouched until Combine has returned.
  virtual absl::StatusOr<DispatchedTokens> Dispatch(const TensorView& hidden,
                                                    const GatingResult& gating,
                                                    Stream& stream) = 0;

  // expert_out [tokens.num_slots(), hidden]: the experts' results. Returns the
  // results of this rank's own slots in the order of gating.slot_of, [rows *
  // top_k, hidden], valid until the next Dispatch and as long as expert_out.
  virtual absl::StatusOr<TensorView> Combine(const DispatchedTokens& tokens,
                                             const TensorView& expert_out,
                                             Stream& stream) = 0;
};

}  // namespace moe
