#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/moe/expert_load.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Which experts the rows of a layer chose, and the table that sorts the (row,
// choice) pairs, "expert slots", by expert (see MoeGating). Views into the
// layer's scratch, valid until its next run.
struct GatingResult {
  TensorView expert_ids;      // [rows, top_k] i32
  TensorView weights;         // [rows, top_k] f32
  TensorView expert_offsets;  // [experts + 1] i32
  TensorView row_of_slot;     // [rows * top_k] i32
  TensorView slot_of;         // [rows, top_k] i32
};

// What a layer must know of the step.
struct MoeStep {
  // Rows of every data rank, equal on all ranks; empty where there is one data
  // rank. [data_degree]
  absl::Span<const int32_t> rows_on_data_ranks;
  MoeLayerLoad* load = nullptr;  // counts, if not null; borrowed
  // Grows by how many rows chose each expert, if not empty. [experts] i64
  TensorView expert_rows = {};
};

// The rows that this rank's experts are to compute: slot s, of the local expert
// e with expert_offsets[e] <= s < expert_offsets[e + 1], is row row_of_slot[s]
// of `x`. Views that stay valid until BeginCombine.
struct DispatchedTokens {
  TensorView x;               // [any, hidden] f32, strided rows
  TensorView row_of_slot;     // [slots] i32
  TensorView expert_offsets;  // [local_experts + 1] i32

  int64_t num_slots() const { return row_of_slot.dims[0]; }
};

// What came back: the result of choice j of row r is row slot_of[r, j] of
// `expert_out`.
struct CombinedTokens {
  TensorView expert_out;  // [any, hidden] f32
  TensorView slot_of;     // [rows, top_k] i32
};

// One dispatch: the rows of one layer in one step, on their way to the experts
// and back. The caller calls FinishDispatch, BeginCombine and FinishCombine
// once each, in this order, and may compute other things in between, which must
// not use the groups that the dispatcher exchanges in. Destroying a handle
// waits for all that is under way, up to the groups' timeout for each exchange:
// after an error, its own or one of these functions', the caller keeps it until
// the groups are aborted. Not thread-safe.
class DispatchHandle {
 public:
  virtual ~DispatchHandle() = default;

  // Moves on what was begun; true if the next Finish would not wait. What is
  // computed meanwhile calls it now and then.
  virtual absl::StatusOr<bool> Poll() = 0;

  virtual absl::StatusOr<DispatchedTokens> FinishDispatch() = 0;

  // expert_out [num_slots, hidden], contiguous: the experts' results; of sliced
  // experts this rank's part of the sums, which are completed in place. Stays
  // untouched until the use of FinishCombine's result ends.
  virtual absl::Status BeginCombine(const TensorView& expert_out) = 0;

  // The results of this rank's own rows, valid until the next Dispatch of any
  // layer and as long as expert_out and the gating.
  virtual absl::StatusOr<CombinedTokens> FinishCombine() = 0;
};

// Brings rows to the ranks of their experts and the results back. Every rank
// dispatches once per layer and step, also where it has no rows; one at a time.
// Not thread-safe.
class TokenDispatcher {
 public:
  virtual ~TokenDispatcher() = default;

  // All experts are here: there is no time to compute other things in.
  virtual bool is_local() const = 0;

  // Begins a dispatch of hidden [rows, hidden]: this rank's rows, gated by
  // `gating`. Both, and what `step` refers to, stay untouched until
  // FinishCombine has returned; the stream is borrowed by the handle.
  virtual absl::StatusOr<std::unique_ptr<DispatchHandle>> Dispatch(
      const TensorView& hidden, const GatingResult& gating, const MoeStep& step,
      Stream& stream) = 0;
};

}  // namespace moe
