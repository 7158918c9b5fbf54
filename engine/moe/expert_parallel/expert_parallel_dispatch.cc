#include "engine/moe/expert_parallel/expert_parallel_dispatch.h"

#include <deque>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "comm/collectives/phased_operation.h"
#include "engine/moe/expert_parallel/coordinated_route.h"
#include "engine/moe/expert_parallel/flat_route.h"
#include "engine/moe/expert_parallel/hierarchical_route.h"
#include "engine/moe/expert_parallel/in_place_route.h"
#include "engine/moe/expert_parallel/replicated_route.h"
#include "kernels/core/ensure_capacity.h"
#include "kernels/core/status_macros.h"

namespace moe {

ExpertParallelDispatch::ExpertParallelDispatch(const LayerExchange& layer,
                                               SourceTokens source,
                                               MoeLayerLoad* load,
                                               Stream& stream)
    : layer_(layer),
      source_(std::move(source)),
      load_(load),
      stream_(stream),
      counters_before_(layer.Counters()) {}

std::unique_ptr<ExchangeRoute> ExpertParallelDispatch::MakeRoute(
    ExchangeKind kind) const {
  if (layer_.num_ranks() == 1 ||
      (layer_.num_sources() == 1 && kind != ExchangeKind::kFlat)) {
    return std::make_unique<InPlaceRoute>(layer_, source_, stream_);
  }
  switch (kind) {
    case ExchangeKind::kReplicated:
      return std::make_unique<ReplicatedRoute>(layer_, source_, stream_);
    case ExchangeKind::kHierarchical:
      return std::make_unique<HierarchicalRoute>(layer_, source_, stream_);
    case ExchangeKind::kCoordinated:
      return std::make_unique<CoordinatedRoute>(layer_, source_, stream_);
    case ExchangeKind::kFlat:
      break;
  }
  return std::make_unique<FlatRoute>(layer_, source_, stream_);
}

absl::Status ExpertParallelDispatch::Begin(std::optional<ExchangeKind> kind) {
  if (!kind.has_value()) return absl::OkStatus();
  if (layer_.num_ranks() > 1 && load_ != nullptr) {
    ++load_->exchanges[static_cast<size_t>(*kind)];
  }
  route_ = MakeRoute(*kind);
  std::deque<PhasedOperation::Phase> phases;
  source_.AddPhases(phases, stream_);
  route_->AddPhases(phases);
  return BeginOperation(PhasedOperation::Begin(std::move(phases)));
}

absl::Status ExpertParallelDispatch::BeginOperation(
    absl::StatusOr<std::unique_ptr<PendingOperation>> begun) {
  RETURN_IF_ERROR(begun.status());
  pending_ = *std::move(begun);
  if (pending_ != nullptr) begun_.emplace(absl::InfiniteDuration());
  return Poll().status();
}

void ExpertParallelDispatch::EndOverlap() {
  if (load_ != nullptr) load_->hidden += begun_->Elapsed();
  begun_.reset();
}

absl::StatusOr<bool> ExpertParallelDispatch::Poll() {
  if (!begun_.has_value()) return true;
  ASSIGN_OR_RETURN(const bool done, pending_->Poll());
  if (done) EndOverlap();
  return done;
}

absl::Status ExpertParallelDispatch::FinishOperation() {
  ASSIGN_OR_RETURN(const bool done, Poll());
  if (!done) {
    EndOverlap();
    RETURN_IF_ERROR(pending_->Wait());
  }
  pending_ = nullptr;
  return absl::OkStatus();
}

absl::StatusOr<DispatchedTokens> ExpertParallelDispatch::NoTokens() {
  DispatchedTokens tokens;
  tokens.x = source_.x();
  tokens.row_of_slot = source_.row_of_slot().Rows(0, 0);
  ASSIGN_OR_RETURN(
      tokens.expert_offsets,
      layer_.buffers->local_offsets.Upload(
          std::vector<int32_t>(layer_.num_experts + 1, 0), stream_));
  return tokens;
}

absl::StatusOr<DispatchedTokens> ExpertParallelDispatch::FinishDispatch() {
  RETURN_IF_ERROR(FinishOperation());
  absl::StatusOr<DispatchedTokens> tokens =
      route_ == nullptr ? NoTokens() : route_->Received();
  if (tokens.ok()) {
    num_slots_ = tokens->num_slots();
    return tokens;
  }
  return absl::Status(
      tokens.status().code(),
      absl::StrCat("layer ", layer_.layer, ", rows that came to ",
                   layer_.groups.expert->Describe(), ": ",
                   tokens.status().message()));
}

absl::Status ExpertParallelDispatch::BeginCombine(
    const TensorView& expert_out) {
  if (expert_out.dims[0] != num_slots_ || !expert_out.is_contiguous()) {
    return absl::InvalidArgumentError(
        absl::StrCat("layer ", layer_.layer, ": BeginCombine: expert_out is ",
                     expert_out.ShapeString(), ", but ", num_slots_,
                     " rows were dispatched"));
  }
  // Of the source group's slots; this rank's own are among them.
  Tensor& memory = layer_.buffers->results;
  RETURN_IF_ERROR(
      EnsureCapacity(source_.num_slots() * layer_.hidden, stream_, memory));
  results_ = memory.AsRows(source_.num_slots(), layer_.hidden);
  if (route_ == nullptr) return absl::OkStatus();
  if (layer_.groups.slice->size() > 1) {
    RETURN_IF_ERROR(layer_.groups.slice->AllReduce(expert_out, stream_));
  }
  return BeginOperation(route_->BeginReturn(expert_out, results_));
}

absl::StatusOr<CombinedTokens> ExpertParallelDispatch::FinishCombine() {
  RETURN_IF_ERROR(FinishOperation());
  if (load_ != nullptr) {
    const CommunicatorCounters after = layer_.Counters();
    load_->messages += after.messages_sent - counters_before_.messages_sent;
    load_->bytes += after.bytes_sent - counters_before_.bytes_sent;
    load_->waited += after.wait_time - counters_before_.wait_time;
  }
  if (route_ == nullptr) return CombinedTokens{results_, source_.own_slot_of()};
  ASSIGN_OR_RETURN(const TensorView slot_of, route_->OwnSlotOf());
  return CombinedTokens{results_, slot_of};
}

}  // namespace moe
