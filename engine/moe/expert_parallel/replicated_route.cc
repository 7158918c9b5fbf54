#include "engine/moe/expert_parallel/replicated_route.h"

#include "comm/collectives/all_gather_v.h"
#include "comm/collectives/row_blocks.h"
#include "kernels/core/ensure_capacity.h"
#include "kernels/core/status_macros.h"

namespace moe {

void ReplicatedRoute::AddPhases(std::deque<PhasedOperation::Phase>& phases) {
  phases.push_back([this] { return Gather(); });
}

TensorView ReplicatedRoute::ReceivedRows() const {
  return layer_.whole.Packed(buffers().received, TotalRows(source_.rows()));
}

absl::StatusOr<std::unique_ptr<PendingOperation>> ReplicatedRoute::Gather() {
  ASSIGN_OR_RETURN(const TensorView send, source_.PackedRows(stream_));
  RETURN_IF_ERROR(
      EnsureCapacity(TotalRows(source_.rows()) * layer_.whole.stride(), stream_,
                     buffers().received));
  return BeginAllGatherV(*layer_.groups.expert_peers, send, source_.rows(),
                         ReceivedRows(), stream_);
}

absl::StatusOr<DispatchedTokens> ReplicatedRoute::Received() {
  const TensorView received = ReceivedRows();
  SlotTable& table = buffers().received_table;
  RETURN_IF_ERROR(table.Sort(layer_.whole.Ids(received), layer_.first_expert,
                             layer_.num_experts, layer_.placement.num_experts(),
                             /*all_here=*/false, stream_));
  ASSIGN_OR_RETURN(
      const absl::Span<const int32_t> offsets,
      buffers().received_offsets.Fetch(table.expert_offsets(), stream_));
  DispatchedTokens tokens;
  tokens.x = layer_.whole.Hidden(received);
  tokens.row_of_slot = table.row_of_slot().Rows(0, offsets.back());
  tokens.expert_offsets = table.expert_offsets();
  return tokens;
}

absl::StatusOr<std::vector<int64_t>> ReplicatedRoute::CountSlots() const {
  const SlotTable& table = buffers().received_table;
  ASSIGN_OR_RETURN(
      const absl::Span<const int32_t> offsets,
      buffers().received_offsets.Fetch(table.expert_offsets(), stream_));
  ASSIGN_OR_RETURN(const absl::Span<const int32_t> rows,
                   buffers().received_rows.Fetch(
                       table.row_of_slot().Rows(0, offsets.back()), stream_));
  const std::vector<int64_t> source_offsets = RowOffsets(source_.rows());
  std::vector<int64_t> counts(layer_.num_experts * layer_.num_sources(), 0);
  for (int64_t e = 0; e < layer_.num_experts; ++e) {
    int source = 0;
    for (int32_t s = offsets[e]; s < offsets[e + 1]; ++s) {
      while (rows[s] >= source_offsets[source + 1]) ++source;
      ++counts[e * layer_.num_sources() + source];
    }
  }
  return counts;
}

absl::StatusOr<std::unique_ptr<PendingOperation>> ReplicatedRoute::BeginReturn(
    const TensorView& expert_out, TensorView& results) {
  // Slots come [local expert][source], as rows are sorted; they go [source]
  // [local expert].
  const int num_experts = static_cast<int>(layer_.num_experts);
  const int num_sources = layer_.num_sources();
  ASSIGN_OR_RETURN(const std::vector<int64_t> counts, CountSlots());
  const int64_t slots = expert_out.dims[0];
  RETURN_IF_ERROR(
      EnsureCapacity(slots * layer_.hidden, stream_, buffers().packed));
  const TensorView packed = buffers().packed.AsRows(slots, layer_.hidden);
  RETURN_IF_ERROR(TransposeBlocks(expert_out, counts, num_experts, num_sources,
                                  packed, stream_));

  const std::vector<int64_t> to_offsets =
      RowOffsets(SumInner(TransposeRows(counts, num_experts, num_sources),
                          num_sources, num_experts));
  const std::vector<int64_t> from_offsets =
      RowOffsets(layer_.SlotsByRank(source_.host_offsets()));
  Communicator& group = *layer_.groups.expert;
  const int size = group.size(), own = group.rank();
  std::vector<TensorMessage> sends, receives;
  for (int i = 0; i < size; ++i) {
    const int to = (own + i) % size, source = to / layer_.num_replicas();
    sends.push_back(
        {to, packed.Rows(to_offsets[source], to_offsets[source + 1])});
    const int from = (own + size - i) % size;
    receives.push_back(
        {from, results.Rows(from_offsets[from], from_offsets[from + 1])});
  }
  return group.BeginExchange(sends, receives, "returning replicated rows",
                             stream_);
}

}  // namespace moe
