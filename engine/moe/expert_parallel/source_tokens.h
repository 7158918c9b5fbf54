#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/collectives/phased_operation.h"
#include "comm/pending_operation.h"
#include "engine/moe/expert_parallel/layer_exchange.h"
#include "engine/moe/token_dispatcher.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// The rows of this rank's source group in one step, with the table that sorts
// their expert slots: this rank's own, or those of all data ranks of its slice
// group once they are gathered.
class SourceTokens {
 public:
  // Of this rank's rows `hidden`. kInvalidArgument naming both if they are not
  // what the step says of this rank's. All are borrowed.
  static absl::StatusOr<SourceTokens> Create(const LayerExchange& layer,
                                             const TensorView& hidden,
                                             const GatingResult& gating,
                                             const MoeStep& step);

  // Adds what makes the members below valid: the gathering, where the source
  // group has several data ranks, and the fetch of the offsets. The phases
  // refer to this object.
  void AddPhases(std::deque<PhasedOperation::Phase>& phases, Stream& stream);

  // Rows of each source group, equal on all ranks. [D]
  const std::vector<int64_t>& rows() const { return rows_; }
  int64_t num_slots() const { return row_of_slot_.dims[0]; }

  const TensorView& x() const { return x_; }  // [rows of the group, hidden]
  const TensorView& expert_offsets() const { return expert_offsets_; }
  const TensorView& row_of_slot() const { return row_of_slot_; }
  // Of this rank's own rows, [own rows, top_k].
  TensorView own_slot_of() const;
  // expert_offsets on the host. [experts + 1]
  absl::Span<const int32_t> host_offsets() const { return host_offsets_; }

  // This rank's own rows, packed with all of their experts' ids for other
  // ranks: [own rows, stride] in the buffers' `packed`.
  absl::StatusOr<TensorView> PackOwnRows(Stream& stream) const;
  // All rows of the source group, packed the same way.
  absl::StatusOr<TensorView> PackedRows(Stream& stream) const;

 private:
  explicit SourceTokens(const LayerExchange& layer) : layer_(&layer) {}

  bool is_gathered() const { return layer_->data_ranks_per_source > 1; }
  TensorView Gathered() const;
  absl::StatusOr<std::unique_ptr<PendingOperation>> Gather(Stream& stream);
  absl::Status SortGathered(Stream& stream);

  const LayerExchange* layer_;
  TensorView own_hidden_;
  GatingResult gating_;
  absl::Span<const int32_t> rows_on_data_ranks_;
  std::vector<int64_t> rows_;  // [D]
  int64_t own_begin_ = 0;      // this rank's rows in its source group's

  TensorView x_;
  TensorView expert_offsets_;  // [experts + 1]
  TensorView row_of_slot_;
  TensorView slot_of_;  // [rows of the source group, top_k]
  absl::Span<const int32_t> host_offsets_;
};

}  // namespace moe
