#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// The table that sorts rows of an exchange by expert, as GatingResult has it
// for the rows of a layer. Keeps its memory for the next time. Not thread-safe.
class SlotTable {
 public:
  // Elements of memory, before growth, for `rows` with `num_ids` each.
  static int64_t MaxElements(int64_t rows, int64_t num_ids) {
    return 2 * rows * num_ids;
  }

  // Enqueues the sort of expert_ids [rows, num_ids], of experts
  // [first_expert, first_expert + num_experts) out of `all_experts`; see
  // SortByExpert. With `all_here` each id must be one of them.
  absl::Status Sort(const TensorView& expert_ids, int64_t first_expert,
                    int64_t num_experts, int64_t all_experts, bool all_here,
                    Stream& stream);

  // Of the last Sort, on the device.
  const TensorView& expert_offsets() const { return expert_offsets_; }
  // [rows * num_ids]; undefined behind the last slot.
  const TensorView& row_of_slot() const { return row_of_slot_; }
  const TensorView& slot_of() const { return slot_of_; }  // -1: not here

  // Elements of its memory now.
  int64_t capacity() const;

 private:
  Tensor offsets_memory_;
  Tensor row_memory_;
  Tensor slot_memory_;
  TensorView expert_offsets_;
  TensorView row_of_slot_;
  TensorView slot_of_;
};

}  // namespace moe
