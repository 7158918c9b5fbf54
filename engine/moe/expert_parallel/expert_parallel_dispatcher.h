#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "absl/status/statusor.h"
#include "engine/config/model_config.h"
#include "engine/moe/expert_parallel/exchange_buffers.h"
#include "engine/moe/expert_parallel/exchange_options.h"
#include "engine/moe/expert_parallel/layer_exchange.h"
#include "engine/moe/expert_parallel/source_tokens.h"
#include "engine/moe/token_dispatcher.h"
#include "engine/parallel/exchange_kind.h"
#include "engine/parallel/exchange_planner.h"
#include "engine/parallel/process_groups.h"

namespace moe {

// For a layer whose experts are on several ranks, or cut into slices: chooses,
// step by step, the kind of exchange that the planner predicts to be fastest.
class ExpertParallelDispatcher : public TokenDispatcher {
 public:
  // Of the layer `layer` of the model, its `moe_layer_idx`-th with experts.
  // `groups` and `buffers` are borrowed. Of all ranks, equal arguments but for
  // the groups. kInvalidArgument if costs are not positive.
  static absl::StatusOr<std::unique_ptr<ExpertParallelDispatcher>> Create(
      const ModelConfig& config, int64_t layer, int moe_layer_idx,
      ProcessGroups& groups, const ExchangeOptions& options,
      ExchangeBuffers* buffers);

  bool is_local() const override { return false; }
  absl::StatusOr<std::unique_ptr<DispatchHandle>> Dispatch(
      const TensorView& hidden, const GatingResult& gating, const MoeStep& step,
      Stream& stream) override;

 private:
  ExpertParallelDispatcher(const ModelConfig& config, int64_t layer,
                           int moe_layer_idx, ProcessGroups& groups,
                           ExchangePlanner planner, ExchangeBuffers* buffers);

  // For a step with so many rows of each source group.
  ExchangeKind ChooseKind(const SourceTokens& source);

  const LayerExchange layer_;
  const ExchangePlanner planner_;
  std::unordered_map<int64_t, ExchangeKind> chosen_;  // by tokens
};

}  // namespace moe
