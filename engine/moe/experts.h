#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "engine/config/layer_config.h"
#include "engine/layers/grouped_mlp.h"
#include "engine/moe/token_dispatcher.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"
#include "kernels/ops/expert_linear.h"

namespace moe {

// This rank's experts of one layer, or its slices of them; maybe none.
// Immutable, so thread-safe.
class Experts {
 public:
  explicit Experts(std::vector<MlpWeights> experts);

  int64_t num_experts() const { return static_cast<int64_t>(experts_.size()); }

  // Features of what comes out of the products inside an expert, for scratch
  // memory; 0 if there is none.
  int64_t up_features() const;
  int64_t ffn_features() const;

  // The two halves of all experts' MLPs, each as one job: up and activation
  // into the first rows of `scratch`, then down into expert_out [slots,
  // hidden]. `along`, if not null, is a MLP over other rows that runs as a part
  // of the same jobs.
  absl::Status RunUps(const DispatchedTokens& tokens, ActivationKind activation,
                      const MlpScratch& scratch, const MlpJob* along,
                      Stream& stream) const;
  absl::Status RunDowns(const DispatchedTokens& tokens,
                        ActivationKind activation, const MlpScratch& scratch,
                        const TensorView& expert_out, const MlpJob* along,
                        Stream& stream) const;

 private:
  // Nothing for them to do.
  bool IsIdle(const DispatchedTokens& tokens) const {
    return experts_.empty() || tokens.num_slots() == 0;
  }

  std::vector<MlpWeights> experts_;
  // Of `experts_`.
  std::vector<ExpertWeight> ups_;
  std::vector<ExpertWeight> downs_;
};

}  // namespace moe
