#include "engine/moe/expert_parallel/slot_table.h"

#include "absl/types/span.h"
#include "kernels/core/ensure_capacity.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/sort_by_expert.h"

namespace moe {
namespace {

// Makes `view` one of `dims` in `memory`, which grows.
absl::Status Reserve(absl::Span<const int64_t> dims, Stream& stream,
                     Tensor& memory, TensorView& view) {
  int64_t elements = 1;
  for (const int64_t dim : dims) elements *= dim;
  RETURN_IF_ERROR(EnsureCapacity(elements, stream, memory));
  view = MakeView(memory.ptr<int32_t>(), DType::kI32, dims, stream.device());
  return absl::OkStatus();
}

}  // namespace

absl::Status SlotTable::Sort(const TensorView& expert_ids, int64_t first_expert,
                             int64_t num_experts, int64_t all_experts,
                             bool all_here, Stream& stream) {
  const int64_t rows = expert_ids.dims[0], num_ids = expert_ids.dims[1];
  RETURN_IF_ERROR(
      Reserve({num_experts + 1}, stream, offsets_memory_, expert_offsets_));
  RETURN_IF_ERROR(Reserve({rows * num_ids}, stream, row_memory_, row_of_slot_));
  RETURN_IF_ERROR(Reserve({rows, num_ids}, stream, slot_memory_, slot_of_));
  SortByExpertArgs sort;
  sort.expert_ids = expert_ids;
  sort.first_expert = first_expert;
  sort.all_experts = all_experts;
  sort.all_here = all_here;
  sort.expert_offsets = expert_offsets_;
  sort.row_of_slot = row_of_slot_;
  sort.slot_of = slot_of_;
  return SortByExpert(sort, stream);
}

int64_t SlotTable::capacity() const {
  int64_t elements = 0;
  for (const Tensor* memory : {&offsets_memory_, &row_memory_, &slot_memory_}) {
    if (!memory->view().empty()) elements += memory->view().num_elements();
  }
  return elements;
}

}  // namespace moe
