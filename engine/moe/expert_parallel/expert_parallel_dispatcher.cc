#include "engine/moe/expert_parallel/expert_parallel_dispatcher.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "comm/collectives/row_blocks.h"
#include "engine/moe/expert_parallel/expert_parallel_dispatch.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<std::unique_ptr<ExpertParallelDispatcher>>
ExpertParallelDispatcher::Create(const ModelConfig& config, int64_t layer,
                                 int moe_layer_idx, ProcessGroups& groups,
                                 const ExchangeOptions& options,
                                 ExchangeBuffers* buffers) {
  const MoeLayerGroups& own = groups.moe_layer(moe_layer_idx);
  const ExchangeShape shape = {own.expert_shape, own.expert_replicas->size()};
  std::optional<ExchangeKind> pinned = options.pinned;
  if (pinned.has_value() && !ExchangeKindApplies(*pinned, shape)) {
    pinned.reset();
  }
  ASSIGN_OR_RETURN(ExchangePlanner planner,
                   ExchangePlanner::Create(options.costs, shape, pinned));
  return std::unique_ptr<ExpertParallelDispatcher>(new ExpertParallelDispatcher(
      config, layer, moe_layer_idx, groups, std::move(planner), buffers));
}

ExpertParallelDispatcher::ExpertParallelDispatcher(
    const ModelConfig& config, int64_t layer, int moe_layer_idx,
    ProcessGroups& groups, ExchangePlanner planner, ExchangeBuffers* buffers)
    : layer_(config, layer, moe_layer_idx, groups, buffers),
      planner_(std::move(planner)) {}

ExchangeKind ExpertParallelDispatcher::ChooseKind(const SourceTokens& source) {
  const int64_t tokens =
      *std::max_element(source.rows().begin(), source.rows().end());
  const auto found = chosen_.find(tokens);
  if (found != chosen_.end()) return found->second;
  const ExchangeKind kind =
      planner_
          .Choose({.tokens = tokens,
                   .top_k = layer_.top_k,
                   .row_bytes = static_cast<int64_t>(layer_.routed.bytes())})
          .kind;
  chosen_.emplace(tokens, kind);
  return kind;
}

absl::StatusOr<std::unique_ptr<DispatchHandle>>
ExpertParallelDispatcher::Dispatch(const TensorView& hidden,
                                   const GatingResult& gating,
                                   const MoeStep& step, Stream& stream) {
  // Buffers of a failed exchange must stay as they are.
  RETURN_IF_ERROR(layer_.GroupStatus());
  ASSIGN_OR_RETURN(SourceTokens source,
                   SourceTokens::Create(layer_, hidden, gating, step));
  std::optional<ExchangeKind> kind;
  if (TotalRows(source.rows()) > 0) kind = ChooseKind(source);
  auto dispatch = std::make_unique<ExpertParallelDispatch>(
      layer_, std::move(source), step.load, stream);
  RETURN_IF_ERROR(dispatch->Begin(kind));
  return dispatch;
}

}  // namespace moe
