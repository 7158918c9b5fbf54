// The results' way back.
#include <deque>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "comm/collectives/all_gather_v.h"
#include "comm/collectives/all_to_all_v.h"
#include "comm/collectives/phased_operation.h"
#include "comm/collectives/row_blocks.h"
#include "engine/moe/ensure_capacity.h"
#include "engine/moe/exchanging_dispatcher.h"
#include "kernels/core/status_macros.h"

namespace moe {

std::vector<int64_t> ExchangingDispatcher::SlotsByOwner() const {
  std::vector<int64_t> slots;
  for (int e = 0; e < groups_.expert->size(); ++e) {
    slots.push_back(expert_offsets_[placement_.ExpertsBegin(e + 1)] -
                    expert_offsets_[placement_.ExpertsBegin(e)]);
  }
  return slots;
}

absl::Status ExchangingDispatcher::BeginCombine(const DispatchedTokens& tokens,
                                                const TensorView& expert_out) {
  const int64_t slots = tokens.num_slots();
  if (expert_out.dims[0] != slots || !expert_out.is_contiguous()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "layer ", layer_, ": BeginCombine: expert_out is ",
        expert_out.ShapeString(), ", but ", slots, " rows were dispatched"));
  }
  // Of the source group's slots; this rank's own are among them.
  const int64_t own_slots = static_cast<int64_t>(row_of_slot_.size());
  RETURN_IF_ERROR(EnsureCapacity(own_slots * hidden_, buffers_->results));
  results_ = MakeView(buffers_->results.ptr<float>(), DType::kF32,
                      {own_slots, hidden_});
  own_slot_of_.clear();
  if (route_ == Route::kNone) return absl::OkStatus();
  if (groups_.slice->size() > 1) {
    RETURN_IF_ERROR(groups_.slice->AllReduce(absl::MakeSpan(
        expert_out.ptr<float>(), static_cast<size_t>(slots * hidden_))));
  }
  switch (route_) {
    case Route::kInPlace:
      return BeginOperation(ReturnInPlace(expert_out));
    case Route::kGathered:
      return BeginOperation(ReturnGathered(expert_out));
    default:
      return BeginOperation(ReturnRouted(expert_out));
  }
}

ExchangingDispatcher::Begun ExchangingDispatcher::ReturnInPlace(
    const TensorView& expert_out) {
  if (groups_.expert->size() == 1) {
    results_ = expert_out;
    return nullptr;
  }
  return BeginAllGatherV(*groups_.expert, expert_out.data, SlotsByOwner(),
                         hidden_ * sizeof(float), results_.data);
}

ExchangingDispatcher::Begun ExchangingDispatcher::ReturnGathered(
    const TensorView& expert_out) {
  // Slots come [local expert][source], as rows are sorted; they go [source]
  // [local expert].
  const int64_t num_experts = placement_.NumExpertsOn(expert_rank_);
  const std::vector<int64_t> source_offsets = RowOffsets(source_rows_);
  std::vector<int64_t> counts(num_experts * num_sources_, 0);
  for (int64_t e = 0; e < num_experts; ++e) {
    int source = 0;
    for (int32_t s = arrived_table_.expert_offsets[e];
         s < arrived_table_.expert_offsets[e + 1]; ++s) {
      while (arrived_table_.row_of_slot[s] >= source_offsets[source + 1]) {
        ++source;
      }
      ++counts[e * num_sources_ + source];
    }
  }
  const size_t row_bytes = hidden_ * sizeof(float);
  RETURN_IF_ERROR(
      EnsureCapacity(arrived_table_.num_slots() * hidden_, buffers_->packed));
  TransposeBlocks(expert_out.data, counts, static_cast<int>(num_experts),
                  num_sources_, row_bytes, buffers_->packed.ptr<float>());

  const std::vector<int64_t> to_source = SumInner(
      TransposeRows(counts, static_cast<int>(num_experts), num_sources_),
      num_sources_, static_cast<int>(num_experts));
  const std::vector<int64_t> to_offsets = RowOffsets(to_source);
  const std::vector<int64_t> from = SlotsByOwner();
  const std::vector<int64_t> from_offsets = RowOffsets(from);
  const int size = groups_.expert->size(), own = groups_.expert->rank();
  std::vector<SendBuffer> sends;
  std::vector<ReceiveBuffer> receives;
  for (int i = 0; i < size; ++i) {
    const int to = (own + i) % size, source = to / num_replicas_;
    sends.push_back(
        {to, buffers_->packed.ptr<float>() + to_offsets[source] * hidden_,
         to_source[source] * row_bytes});
    const int sender = (own + size - i) % size;
    receives.push_back({sender,
                        results_.ptr<float>() + from_offsets[sender] * hidden_,
                        from[sender] * row_bytes});
  }
  return groups_.expert->BeginExchange(sends, receives, "ReturnGathered");
}

ExchangingDispatcher::Begun ExchangingDispatcher::ReturnRouted(
    const TensorView& expert_out) {
  RETURN_IF_ERROR(EnsureCapacity(arrived_rows_ * hidden_, buffers_->packed));
  float* const send = buffers_->packed.ptr<float>();
  ScatterRows(expert_out.ptr<float>(), arrived_table_.row_of_slot, hidden_,
              send);
  const size_t row_bytes = hidden_ * sizeof(float);
  switch (kind_) {
    case ExchangeKind::kHierarchical:
      return BeginHierarchicalReturn(
          {groups_.expert_node, groups_.expert_cross}, hierarchical_, send,
          row_bytes, results_.data);
    case ExchangeKind::kCoordinated:
      return BeginCoordinatedReturn(
          {groups_.expert_replicas, groups_.expert_peers}, coordinated_, send,
          row_bytes, results_.data);
    default:
      break;
  }
  if (num_replicas_ > 1) return ReturnFlatToReplicas(send);
  return BeginAllToAllV(*groups_.expert, flat_.Reversed(), send, row_bytes,
                        results_.data);
}

ExchangingDispatcher::Begun ExchangingDispatcher::ReturnFlatToReplicas(
    const float* sent) {
  // Results lie [replica][expert rank], of the slots that each replica sent.
  std::vector<int32_t> position_of(row_of_slot_.size());
  std::vector<int64_t> replica_rows(num_replicas_, 0);
  int32_t position = 0;
  for (int l = 0; l < num_replicas_; ++l) {
    for (int e = 0; e < groups_.expert->size(); ++e) {
      const IndexRange slots = SlotsFor(e, l);
      replica_rows[l] += slots.size();
      for (int64_t s = slots.begin; s < slots.end; ++s) {
        position_of[s] = position++;
      }
    }
  }
  for (int32_t slot : slot_of_) own_slot_of_.push_back(position_of[slot]);
  const int own = groups_.expert_replicas->rank();
  float* const place =
      results_.ptr<float>() + RowOffsets(replica_rows)[own] * hidden_;
  const size_t row_bytes = hidden_ * sizeof(float);
  const auto exchange = [=, this] {
    return BeginAllToAllV(*groups_.expert, flat_.Reversed(), sent, row_bytes,
                          place);
  };
  const auto gather = [=, this] {
    return BeginAllGatherV(*groups_.expert_replicas, place, replica_rows,
                           row_bytes, results_.data);
  };
  return PhasedOperation::Begin({exchange, gather});
}

absl::StatusOr<CombinedTokens> ExchangingDispatcher::FinishCombine() {
  RETURN_IF_ERROR(FinishOperation());
  if (load_ != nullptr) {
    const CommunicatorCounters after = Counters();
    load_->messages += after.messages_sent - counters_before_.messages_sent;
    load_->bytes += after.bytes_sent - counters_before_.bytes_sent;
    load_->waited += after.wait_time - counters_before_.wait_time;
  }
  const int64_t rows = own_hidden_.dims[0];
  const int32_t* slot_of =
      own_slot_of_.empty() ? slot_of_.data() : own_slot_of_.data();
  if (rows == 0) return CombinedTokens{results_, gating_.slot_of};
  return CombinedTokens{
      results_, MakeView(const_cast<int32_t*>(slot_of) + own_begin_ * top_k_,
                         DType::kI32, {rows, top_k_})};
}

}  // namespace moe
