#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/config/model_config.h"
#include "engine/moe/expert_parallel/exchange_options.h"
#include "engine/moe/expert_parallel/expert_parallel_dispatcher.h"
#include "engine/moe/token_dispatcher.h"
#include "engine/parallel/process_groups.h"

namespace moe {

// The dispatchers of all MoE layers of a model. Movable; what it hands out
// stays where it is.
class MoeDispatchers {
 public:
  MoeDispatchers() = default;  // none

  // For a rank that has all experts, alone.
  static MoeDispatchers Local(const ModelConfig& config);

  // For one of the ranks of `groups` (borrowed), whose i-th MoE layer is that
  // of `config`. kInvalidArgument if the costs are not positive, or if no layer
  // admits the pinned kind though some exchange rows.
  static absl::StatusOr<MoeDispatchers> Create(const ModelConfig& config,
                                               ProcessGroups& groups,
                                               const ExchangeOptions& options);

  // Of the model's layer `layer`; null for a dense one.
  TokenDispatcher* of_layer(int64_t layer) const {
    return dispatchers_[layer].get();
  }

 private:
  // Behind a pointer, as the dispatchers borrow them.
  std::unique_ptr<ExchangeBuffers> buffers_;
  std::vector<std::unique_ptr<TokenDispatcher>> dispatchers_;  // [num_layers]
};

}  // namespace moe
