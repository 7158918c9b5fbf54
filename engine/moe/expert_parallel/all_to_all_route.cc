#include "engine/moe/expert_parallel/all_to_all_route.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "comm/collectives/row_blocks.h"
#include "kernels/core/ensure_capacity.h"
#include "kernels/core/status_macros.h"
#include "kernels/ops/pack_tokens.h"
#include "kernels/ops/scatter_rows.h"

namespace moe {

void AllToAllRoute::AddPhases(std::deque<PhasedOperation::Phase>& phases) {
  phases.push_back([this] { return ExchangeCounts(); });
  phases.push_back([this] { return ExchangeRows(); });
}

IndexRange AllToAllRoute::SlotsFor(int expert_rank, int) const {
  const absl::Span<const int32_t> offsets = source_.host_offsets();
  return {offsets[layer_.placement.ExpertsBegin(expert_rank)],
          offsets[layer_.placement.ExpertsBegin(expert_rank + 1)]};
}

AllToAllRoute::Begun AllToAllRoute::ExchangeCounts() {
  std::vector<int64_t> send_rows;
  for (int e = 0; e < layer_.num_ranks(); ++e) {
    send_rows.push_back(
        SlotsFor(e, layer_.groups.expert_replicas->rank()).size());
  }
  return BeginPlan(std::move(send_rows));
}

absl::Status AllToAllRoute::CheckReceiveRows() const {
  const absl::Span<const int64_t> rows = receive_rows();
  const size_t per_source = rows.size() / layer_.num_sources();
  for (size_t i = 0; i < rows.size(); ++i) {
    const int64_t most = source_.rows()[i / per_source] * layer_.top_k;
    if (rows[i] < 0 || rows[i] > most) {
      return absl::InternalError(
          absl::StrCat("layer ", layer_.layer, ": member ", i, " of ",
                       layer_.groups.expert->Describe(), " sends ", rows[i],
                       " rows, has at most ", most));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<TensorView> AllToAllRoute::PackRows() {
  const RowFormat& format = layer_.routed;
  const int replica = layer_.groups.expert_replicas->rank();
  int64_t rows = 0;
  for (int e = 0; e < layer_.num_ranks(); ++e) {
    rows += SlotsFor(e, replica).size();
  }
  RETURN_IF_ERROR(
      EnsureCapacity(rows * format.stride(), stream_, buffers().packed));
  const TensorView packed = format.Packed(buffers().packed, rows);
  int64_t begin = 0;
  for (int e = 0; e < layer_.num_ranks(); ++e) {
    const IndexRange slots = SlotsFor(e, replica);
    if (slots.size() > 0 && SendsTo(e)) {
      PackSlotsArgs pack;
      pack.x = source_.x();
      pack.row_of_slot = source_.row_of_slot();
      pack.expert_offsets = source_.expert_offsets();
      pack.first_slot = slots.begin;
      pack.y = packed.Rows(begin, begin + slots.size());
      RETURN_IF_ERROR(PackSlots(pack, stream_));
    }
    begin += slots.size();
  }
  return packed;
}

TensorView AllToAllRoute::ReceivedRows() const {
  return layer_.routed.Packed(buffers().received, received_rows_);
}

AllToAllRoute::Begun AllToAllRoute::ExchangeRows() {
  RETURN_IF_ERROR(CheckReceiveRows());
  received_rows_ = TotalRows(receive_rows());
  ASSIGN_OR_RETURN(const TensorView packed, PackRows());
  RETURN_IF_ERROR(EnsureCapacity(received_rows_ * layer_.routed.stride(),
                                 stream_, buffers().received));
  return BeginRows(packed, ReceivedRows());
}

absl::StatusOr<DispatchedTokens> AllToAllRoute::Received() {
  const TensorView received = ReceivedRows();
  SlotTable& table = buffers().received_table;
  RETURN_IF_ERROR(table.Sort(layer_.routed.Ids(received), layer_.first_expert,
                             layer_.num_experts, layer_.placement.num_experts(),
                             /*all_here=*/true, stream_));
  return DispatchedTokens{layer_.routed.Hidden(received), table.row_of_slot(),
                          table.expert_offsets()};
}

AllToAllRoute::Begun AllToAllRoute::BeginReturn(const TensorView& expert_out,
                                                TensorView& results) {
  RETURN_IF_ERROR(EnsureCapacity(received_rows_ * layer_.hidden, stream_,
                                 buffers().packed));
  const TensorView sent =
      buffers().packed.AsRows(received_rows_, layer_.hidden);
  if (received_rows_ > 0) {
    RETURN_IF_ERROR(ScatterRows(
        {expert_out, buffers().received_table.row_of_slot(), sent}, stream_));
  }
  return BeginResults(sent, results);
}

}  // namespace moe
