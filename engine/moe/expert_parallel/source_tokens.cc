#include "engine/moe/expert_parallel/source_tokens.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/core/ensure_capacity.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/pack_tokens.h"

namespace moe {

absl::StatusOr<SourceTokens> SourceTokens::Create(const LayerExchange& layer,
                                                  const TensorView& hidden,
                                                  const GatingResult& gating,
                                                  const MoeStep& step) {
  const int64_t rows = hidden.dims[0];
  const absl::Span<const int32_t> all = step.rows_on_data_ranks;
  const bool alone = all.empty() && layer.data_degree == 1;
  if (!alone && (static_cast<int>(all.size()) != layer.data_degree ||
                 all[layer.data_rank] != rows)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "layer ", layer.layer, ": data rank ", layer.data_rank, " of ",
        layer.data_degree, " has ", rows, " rows, rows_on_data_ranks is [",
        absl::StrJoin(all, ", "), "]"));
  }
  SourceTokens tokens(layer);
  tokens.own_hidden_ = tokens.x_ = hidden;
  tokens.gating_ = gating;
  tokens.expert_offsets_ = gating.expert_offsets;
  tokens.row_of_slot_ = gating.row_of_slot;
  tokens.slot_of_ = gating.slot_of;
  tokens.rows_on_data_ranks_ = all;
  tokens.rows_.assign(layer.num_sources(), 0);
  const int span = layer.data_ranks_per_source;
  for (int d = 0; d < layer.num_sources(); ++d) {
    for (int i = 0; i < span; ++i) {
      const int data_rank = layer.first_data_rank + d * span + i;
      if (data_rank == layer.data_rank) tokens.own_begin_ = tokens.rows_[d];
      tokens.rows_[d] += alone ? rows : all[data_rank];
    }
  }
  return tokens;
}

void SourceTokens::AddPhases(std::deque<PhasedOperation::Phase>& phases,
                             Stream& stream) {
  if (is_gathered()) {
    phases.push_back([this, &stream] { return Gather(stream); });
  }
  phases.push_back(
      [this, &stream]() -> absl::StatusOr<std::unique_ptr<PendingOperation>> {
        if (is_gathered()) RETURN_IF_ERROR(SortGathered(stream));
        ASSIGN_OR_RETURN(host_offsets_, layer_->buffers->source_offsets.Fetch(
                                            expert_offsets_, stream));
        return nullptr;
      });
}

TensorView SourceTokens::own_slot_of() const {
  const int64_t rows = own_hidden_.dims[0];
  if (rows == 0) return gating_.slot_of;
  return slot_of_.Rows(own_begin_, own_begin_ + rows);
}

absl::StatusOr<TensorView> SourceTokens::PackOwnRows(Stream& stream) const {
  const RowFormat& format = layer_->whole;
  const int64_t rows = own_hidden_.dims[0];
  Tensor& memory = layer_->buffers->packed;
  RETURN_IF_ERROR(EnsureCapacity(rows * format.stride(), stream, memory));
  const TensorView packed = format.Packed(memory, rows);
  if (rows > 0) {
    RETURN_IF_ERROR(
        PackTokens({own_hidden_, gating_.expert_ids, packed}, stream));
  }
  return packed;
}

TensorView SourceTokens::Gathered() const {
  return layer_->whole.Packed(layer_->buffers->gathered,
                              rows_[layer_->source()]);
}

absl::StatusOr<TensorView> SourceTokens::PackedRows(Stream& stream) const {
  if (is_gathered()) return Gathered();
  return PackOwnRows(stream);
}

absl::StatusOr<std::unique_ptr<PendingOperation>> SourceTokens::Gather(
    Stream& stream) {
  ASSIGN_OR_RETURN(const TensorView own, PackOwnRows(stream));
  RETURN_IF_ERROR(
      EnsureCapacity(rows_[layer_->source()] * layer_->whole.stride(), stream,
                     layer_->buffers->gathered));
  const TensorView gathered = Gathered();
  // With the ranks of the slice group that have this tensor rank, one of each
  // data rank.
  Communicator& group = *layer_->groups.slice;
  const int tensor_rank = group.rank() % layer_->tensor_degree;
  const int span = layer_->data_ranks_per_source;
  const int first = layer_->first_data_rank + layer_->source() * span;
  std::vector<TensorMessage> sends, receives;
  int64_t begin = 0;
  for (int i = 0; i < span; ++i) {
    const int peer = i * layer_->tensor_degree + tensor_rank;
    const int64_t rows = rows_on_data_ranks_[first + i];
    sends.push_back({peer, own});
    receives.push_back({peer, gathered.Rows(begin, begin + rows)});
    begin += rows;
  }
  return group.BeginExchange(sends, receives, "gathering rows for slices",
                             stream);
}

absl::Status SourceTokens::SortGathered(Stream& stream) {
  const RowFormat& format = layer_->whole;
  const TensorView gathered = Gathered();
  const int64_t experts = layer_->placement.num_experts();
  SlotTable& table = layer_->buffers->gathered_table;
  RETURN_IF_ERROR(table.Sort(format.Ids(gathered), 0, experts, experts,
                             /*all_here=*/true, stream));
  x_ = format.Hidden(gathered);
  expert_offsets_ = table.expert_offsets();
  row_of_slot_ = table.row_of_slot();
  slot_of_ = table.slot_of();
  return absl::OkStatus();
}

}  // namespace moe
