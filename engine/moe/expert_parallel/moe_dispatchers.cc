#include "engine/moe/expert_parallel/moe_dispatchers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/moe/local_dispatcher.h"
#include "kernels/core/status_macros.h"

namespace moe {

MoeDispatchers MoeDispatchers::Local(const ModelConfig& config) {
  MoeDispatchers all;
  for (int64_t layer = 0; layer < config.num_layers(); ++layer) {
    all.dispatchers_.push_back(config.is_moe_layer(layer)
                                   ? std::make_unique<LocalDispatcher>()
                                   : nullptr);
  }
  return all;
}

absl::StatusOr<MoeDispatchers> MoeDispatchers::Create(
    const ModelConfig& config, ProcessGroups& groups,
    const ExchangeOptions& options) {
  MoeDispatchers all;
  all.buffers_ = std::make_unique<ExchangeBuffers>();
  int moe_layer_idx = 0;
  bool some_travel = false, some_as_pinned = false;
  for (int64_t layer = 0; layer < config.num_layers(); ++layer) {
    all.dispatchers_.push_back(nullptr);
    if (!config.is_moe_layer(layer)) continue;
    const MoeLayerGroups& own = groups.moe_layer(moe_layer_idx);
    if (own.expert->size() == 1 && own.slice->size() == 1) {
      all.dispatchers_.back() = std::make_unique<LocalDispatcher>();
    } else {
      ASSIGN_OR_RETURN(
          all.dispatchers_.back(),
          ExpertParallelDispatcher::Create(config, layer, moe_layer_idx, groups,
                                           options, all.buffers_.get()));
    }
    if (own.expert->size() > 1 && options.pinned.has_value()) {
      some_travel = true;
      some_as_pinned |= ExchangeKindApplies(
          *options.pinned, {own.expert_shape, own.expert_replicas->size()});
    }
    ++moe_layer_idx;
  }
  if (some_travel && !some_as_pinned) {
    return absl::InvalidArgumentError(absl::StrCat(
        "exchange ", ExchangeKindName(*options.pinned),
        " is possible in no layer: hierarchical needs several nodes with "
        "several ranks of a layer each and tensor degree 1, coordinated a "
        "tensor degree above 1"));
  }
  return all;
}

}  // namespace moe
