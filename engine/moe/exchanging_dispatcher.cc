// Rows on their way to the experts; the way back is in
// exchanging_dispatcher_return.cc.
#include "engine/moe/exchanging_dispatcher.h"

#include <algorithm>
#include <deque>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "comm/collectives/all_gather_v.h"
#include "comm/collectives/all_to_all_v.h"
#include "comm/collectives/phased_operation.h"
#include "comm/collectives/row_blocks.h"
#include "engine/moe/ensure_capacity.h"
#include "kernels/core/status_macros.h"

namespace moe {
absl::StatusOr<std::unique_ptr<ExchangingDispatcher>>
ExchangingDispatcher::Create(const ModelConfig& config, int64_t layer,
                             int moe_layer_idx, ProcessGroups& groups,
                             const ExchangeOptions& options,
                             ExchangeBuffers* buffers) {
  const MoeLayerGroups& own = groups.moe_layer(moe_layer_idx);
  const ExpertPlacement placement(
      groups.world().size(),
      {.layer = static_cast<int>(layer),
       .num_experts = static_cast<int>(config.num_experts(layer)),
       .expert_degree = own.expert->size(),
       .slice_degree = own.slice->size()});
  const ExchangeShape shape = {own.expert_shape, own.expert_replicas->size()};
  std::optional<ExchangeKind> pinned = options.pinned;
  if (pinned.has_value() && !ExchangeKindApplies(*pinned, shape)) {
    pinned.reset();
  }
  ASSIGN_OR_RETURN(ExchangePlanner planner,
                   ExchangePlanner::Create(options.costs, shape, pinned));
  return std::unique_ptr<ExchangingDispatcher>(new ExchangingDispatcher(
      config, layer, own, placement, groups.world().rank(),
      groups.tensor().size(), groups.data().size(), std::move(planner),
      buffers));
}

ExchangingDispatcher::ExchangingDispatcher(
    const ModelConfig& config, int64_t layer, const MoeLayerGroups& groups,
    const ExpertPlacement& placement, int world_rank, int tensor_degree,
    int data_degree, ExchangePlanner planner, ExchangeBuffers* buffers)
    : layer_(layer),
      hidden_(config.hidden_size),
      top_k_(config.layers[layer].moe().top_k),
      groups_(groups),
      placement_(placement),
      tensor_degree_(tensor_degree),
      data_degree_(data_degree),
      data_rank_(world_rank / tensor_degree),
      expert_rank_(groups.expert->rank()),
      num_replicas_(groups.expert_replicas->size()),
      num_sources_(groups.expert_peers->size()),
      first_data_rank_(placement.expert_data_rank(world_rank) *
                       placement.expert_degree() * placement.slice_degree() /
                       tensor_degree),
      data_ranks_per_source_(
          std::max(1, placement.slice_degree() / tensor_degree)),
      routed_{config.hidden_size, 1},
      whole_{config.hidden_size, top_k_},
      planner_(std::move(planner)),
      buffers_(buffers) {}

absl::Status ExchangingDispatcher::CountSourceRows(int64_t rows,
                                                   const MoeStep& step) {
  const absl::Span<const int32_t> all = step.rows_on_data_ranks;
  const bool alone = all.empty() && data_degree_ == 1;
  if (!alone && (static_cast<int>(all.size()) != data_degree_ ||
                 all[data_rank_] != rows)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "layer ", layer_, ": data rank ", data_rank_, " of ", data_degree_,
        " has ", rows, " rows, rows_on_data_ranks is [",
        absl::StrJoin(all, ", "), "]"));
  }
  source_rows_.assign(num_sources_, 0);
  own_begin_ = 0;
  for (int d = 0; d < num_sources_; ++d) {
    for (int i = 0; i < data_ranks_per_source_; ++i) {
      const int data_rank = first_data_rank_ + d * data_ranks_per_source_ + i;
      if (data_rank == data_rank_) own_begin_ = source_rows_[d];
      source_rows_[d] += alone ? rows : all[data_rank];
    }
  }
  return absl::OkStatus();
}

ExchangeKind ExchangingDispatcher::ChooseKind() {
  const int64_t tokens =
      *std::max_element(source_rows_.begin(), source_rows_.end());
  const auto found = chosen_.find(tokens);
  if (found != chosen_.end()) return found->second;
  const ExchangeKind kind =
      planner_
          .Choose({.tokens = tokens,
                   .top_k = top_k_,
                   .row_bytes = static_cast<int64_t>(routed_.bytes())})
          .kind;
  chosen_.emplace(tokens, kind);
  return kind;
}

absl::Status ExchangingDispatcher::BeginDispatch(const TensorView& hidden,
                                                 const GatingResult& gating,
                                                 const MoeStep& step) {
  if (!(hidden.device == Device{})) {
    return absl::UnimplementedError(absl::StrCat(
        "layer ", layer_, ": its rows lie on ", ToString(hidden.device),
        "; experts on several ranks exchange host memory only"));
  }
  RETURN_IF_ERROR(CountSourceRows(hidden.dims[0], step));
  load_ = step.load;
  rows_on_data_ranks_ = step.rows_on_data_ranks;
  counters_before_ = Counters();
  own_hidden_ = x_ = hidden;
  gating_ = gating;
  const auto span = [](const TensorView& view) {
    return absl::MakeConstSpan(view.ptr<int32_t>(),
                               static_cast<size_t>(view.num_elements()));
  };
  expert_offsets_ = span(gating.expert_offsets);
  row_of_slot_ = span(gating.row_of_slot);
  slot_of_ = span(gating.slot_of);

  const int group_size = groups_.expert->size();
  if (TotalRows(source_rows_) == 0) {
    route_ = Route::kNone;
    return absl::OkStatus();
  }
  kind_ = ChooseKind();
  if (group_size > 1 && load_ != nullptr) {
    ++load_->exchanges[static_cast<size_t>(kind_)];
  }
  std::deque<PhasedOperation::Phase> phases;
  if (data_ranks_per_source_ > 1) {
    phases.push_back([this] { return UniteSlices(); });
    phases.push_back([this]() -> Begun {
      RETURN_IF_ERROR(SortUnited());
      return nullptr;
    });
  }
  if (group_size == 1 || (num_sources_ == 1 && kind_ != ExchangeKind::kFlat)) {
    route_ = Route::kInPlace;
  } else if (kind_ == ExchangeKind::kReplicated) {
    route_ = Route::kGathered;
    phases.push_back([this] { return GatherRows(); });
  } else {
    route_ = Route::kRouted;
    phases.push_back([this] { return ExchangeCounts(); });
    phases.push_back([this] { return ExchangeRows(); });
  }
  return BeginOperation(PhasedOperation::Begin(std::move(phases)));
}

absl::Status ExchangingDispatcher::BeginOperation(Begun begun) {
  RETURN_IF_ERROR(begun.status());
  pending_ = *std::move(begun);
  if (pending_ != nullptr) begun_.emplace(absl::InfiniteDuration());
  return Poll().status();
}

absl::StatusOr<bool> ExchangingDispatcher::Poll() {
  if (!begun_.has_value()) return true;
  ASSIGN_OR_RETURN(const bool done, pending_->Poll());
  if (done) {
    if (load_ != nullptr) load_->hidden += begun_->Elapsed();
    begun_.reset();
  }
  return done;
}

absl::Status ExchangingDispatcher::FinishOperation() {
  ASSIGN_OR_RETURN(const bool done, Poll());
  if (!done) {
    if (load_ != nullptr) load_->hidden += begun_->Elapsed();
    begun_.reset();
    RETURN_IF_ERROR(pending_->Wait());
  }
  pending_ = nullptr;
  return absl::OkStatus();
}

void ExchangingDispatcher::PackOwnRows(float* out) const {
  const int32_t* const ids = gating_.expert_ids.ptr<int32_t>();
  for (int64_t r = 0; r < own_hidden_.dims[0]; ++r) {
    PackRow(whole_, own_hidden_, r, ids + r * top_k_,
            out + r * whole_.stride());
  }
}

ExchangingDispatcher::Begun ExchangingDispatcher::UniteSlices() {
  const int source = groups_.expert_peers->rank();
  const int64_t own_rows = own_hidden_.dims[0];
  RETURN_IF_ERROR(EnsureCapacity(own_rows * whole_.stride(), buffers_->packed));
  RETURN_IF_ERROR(
      EnsureCapacity(source_rows_[source] * whole_.stride(), buffers_->united));
  PackOwnRows(buffers_->packed.ptr<float>());
  // With the ranks of the slice group that have this tensor rank, one of each
  // data rank.
  const int tensor_rank = groups_.slice->rank() % tensor_degree_;
  const int first = first_data_rank_ + source * data_ranks_per_source_;
  std::vector<SendBuffer> sends;
  std::vector<ReceiveBuffer> receives;
  auto* place = buffers_->united.ptr<std::byte>();
  for (int i = 0; i < data_ranks_per_source_; ++i) {
    const int peer = i * tensor_degree_ + tensor_rank;
    sends.push_back({peer, buffers_->packed.ptr<float>(),
                     static_cast<size_t>(own_rows) * whole_.bytes()});
    const size_t bytes = rows_on_data_ranks_[first + i] * whole_.bytes();
    receives.push_back({peer, place, bytes});
    place += bytes;
  }
  return groups_.slice->BeginExchange(sends, receives, "UniteSlices");
}

absl::Status ExchangingDispatcher::SortUnited() {
  float* const united = buffers_->united.ptr<float>();
  const int64_t rows = source_rows_[groups_.expert_peers->rank()];
  const int64_t experts = placement_.num_experts();
  RETURN_IF_ERROR(SortByExpert(PackedIds(whole_, united), whole_.stride(), rows,
                               top_k_, 0, experts, experts, united_table_));
  x_ = PackedHidden(whole_, united, rows);
  expert_offsets_ = united_table_.expert_offsets;
  row_of_slot_ = united_table_.row_of_slot;
  slot_of_ = united_table_.slot_of;
  return absl::OkStatus();
}

ExchangingDispatcher::Begun ExchangingDispatcher::GatherRows() {
  const float* send = buffers_->united.ptr<float>();
  if (data_ranks_per_source_ == 1) {
    RETURN_IF_ERROR(EnsureCapacity(own_hidden_.dims[0] * whole_.stride(),
                                   buffers_->packed));
    PackOwnRows(buffers_->packed.ptr<float>());
    send = buffers_->packed.ptr<float>();
  }
  arrived_rows_ = TotalRows(source_rows_);
  RETURN_IF_ERROR(
      EnsureCapacity(arrived_rows_ * whole_.stride(), buffers_->arrived));
  return BeginAllGatherV(*groups_.expert_peers, send, source_rows_,
                         whole_.bytes(), buffers_->arrived.ptr<float>());
}

bool ExchangingDispatcher::SendsTo(int expert_rank) const {
  return kind_ != ExchangeKind::kCoordinated ||
         expert_rank % num_replicas_ == groups_.expert_replicas->rank();
}

IndexRange ExchangingDispatcher::SlotsFor(int expert_rank, int replica) const {
  const int64_t begin = expert_offsets_[placement_.ExpertsBegin(expert_rank)];
  const int64_t end = expert_offsets_[placement_.ExpertsBegin(expert_rank + 1)];
  if (kind_ != ExchangeKind::kFlat) return {begin, end};
  // Replicas begin with different ones, or the first would send most of few.
  const IndexRange part = PartitionRange(
      end - begin, (replica + expert_rank) % num_replicas_, num_replicas_);
  return {begin + part.begin, begin + part.end};
}

ExchangingDispatcher::Begun ExchangingDispatcher::ExchangeCounts() {
  send_rows_.clear();
  for (int e = 0; e < groups_.expert->size(); ++e) {
    send_rows_.push_back(SlotsFor(e, groups_.expert_replicas->rank()).size());
  }
  switch (kind_) {
    case ExchangeKind::kHierarchical:
      hierarchical_.rows.send_rows = send_rows_;
      return BeginPlanHierarchicalAllToAllV(
          {groups_.expert_node, groups_.expert_cross}, hierarchical_);
    case ExchangeKind::kCoordinated:
      coordinated_.send_rows = send_rows_;
      return BeginPlanCoordinatedAllToAllV(
          {groups_.expert_replicas, groups_.expert_peers}, coordinated_);
    default:
      flat_.send_rows = send_rows_;
      return BeginPlanAllToAllV(*groups_.expert, flat_);
  }
}

absl::Status ExchangingDispatcher::CheckArrivals(
    absl::Span<const int64_t> receive_rows) const {
  const size_t per_source = receive_rows.size() / num_sources_;
  for (size_t i = 0; i < receive_rows.size(); ++i) {
    const int64_t most = source_rows_[i / per_source] * top_k_;
    if (receive_rows[i] < 0 || receive_rows[i] > most) {
      return absl::InternalError(absl::StrCat(
          "layer ", layer_, ": member ", i, " of ", groups_.expert->Describe(),
          " sends ", receive_rows[i], " rows, has at most ", most));
    }
  }
  return absl::OkStatus();
}

ExchangingDispatcher::Begun ExchangingDispatcher::ExchangeRows() {
  const std::vector<int64_t>& receive_rows =
      kind_ == ExchangeKind::kHierarchical  ? hierarchical_.rows.receive_rows
      : kind_ == ExchangeKind::kCoordinated ? coordinated_.receive_rows
                                            : flat_.receive_rows;
  RETURN_IF_ERROR(CheckArrivals(receive_rows));
  arrived_rows_ = TotalRows(receive_rows);
  const int64_t stride = routed_.stride();
  RETURN_IF_ERROR(
      EnsureCapacity(TotalRows(send_rows_) * stride, buffers_->packed));
  RETURN_IF_ERROR(EnsureCapacity(arrived_rows_ * stride, buffers_->arrived));
  float* out = buffers_->packed.ptr<float>();
  for (int e = 0; e < groups_.expert->size(); ++e) {
    const IndexRange slots = SlotsFor(e, groups_.expert_replicas->rank());
    if (SendsTo(e)) {
      int32_t expert = placement_.ExpertsBegin(e);
      for (int64_t s = slots.begin; s < slots.end; ++s) {
        while (s >= expert_offsets_[expert + 1]) ++expert;
        PackRow(routed_, x_, row_of_slot_[s], &expert,
                out + (s - slots.begin) * stride);
      }
    }
    out += slots.size() * stride;
  }
  const float* const send = buffers_->packed.ptr<float>();
  float* const receive = buffers_->arrived.ptr<float>();
  switch (kind_) {
    case ExchangeKind::kHierarchical:
      return BeginHierarchicalAllToAllV(
          {groups_.expert_node, groups_.expert_cross}, hierarchical_, send,
          routed_.bytes(), receive);
    case ExchangeKind::kCoordinated:
      return BeginCoordinatedAllToAllV(
          {groups_.expert_replicas, groups_.expert_peers}, coordinated_, send,
          routed_.bytes(), receive);
    default:
      return BeginAllToAllV(*groups_.expert, flat_, send, routed_.bytes(),
                            receive);
  }
}

absl::StatusOr<DispatchedTokens> ExchangingDispatcher::FinishDispatch() {
  RETURN_IF_ERROR(FinishOperation());
  const int64_t first = placement_.ExpertsBegin(expert_rank_);
  const int64_t count = placement_.NumExpertsOn(expert_rank_);
  DispatchedTokens tokens;
  switch (route_) {
    case Route::kNone:
      local_offsets_.assign(count + 1, 0);
      tokens.x = x_;
      tokens.row_of_slot = TableView({});
      tokens.expert_offsets = TableView(local_offsets_);
      return tokens;
    case Route::kInPlace: {
      local_offsets_.clear();
      for (int64_t e = 0; e <= count; ++e) {
        local_offsets_.push_back(expert_offsets_[first + e] -
                                 expert_offsets_[first]);
      }
      tokens.x = x_;
      tokens.row_of_slot = TableView(
          row_of_slot_.subspan(expert_offsets_[first], local_offsets_.back()));
      tokens.expert_offsets = TableView(local_offsets_);
      return tokens;
    }
    case Route::kGathered:
    case Route::kRouted:
      break;
  }
  const RowFormat& format = route_ == Route::kRouted ? routed_ : whole_;
  float* const arrived = buffers_->arrived.ptr<float>();
  RETURN_IF_ERROR(SortByExpert(PackedIds(format, arrived), format.stride(),
                               arrived_rows_, format.num_ids, first, count,
                               placement_.num_experts(), arrived_table_));
  if (route_ == Route::kRouted && arrived_table_.num_slots() != arrived_rows_) {
    return absl::InternalError(absl::StrCat(
        "layer ", layer_, ": of ", arrived_rows_, " rows that came to ",
        groups_.expert->Describe(), ", ", arrived_table_.num_slots(),
        " are for its experts [", first, ", ", first + count, ")"));
  }
  tokens.x = PackedHidden(format, arrived, arrived_rows_);
  tokens.row_of_slot = TableView(arrived_table_.row_of_slot);
  tokens.expert_offsets = TableView(arrived_table_.expert_offsets);
  return tokens;
}

CommunicatorCounters ExchangingDispatcher::Counters() const {
  CommunicatorCounters sum;
  for (const HostCommunicator* group :
       {groups_.expert, groups_.slice, groups_.expert_node,
        groups_.expert_cross, groups_.expert_replicas, groups_.expert_peers}) {
    if (group == nullptr) continue;
    sum.messages_sent += group->counters().messages_sent;
    sum.bytes_sent += group->counters().bytes_sent;
    sum.wait_time += group->counters().wait_time;
  }
  return sum;
}

}  // namespace moe
