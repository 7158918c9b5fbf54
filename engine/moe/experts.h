#pragma once

#include <cstdint>
#include <vector>

#include "engine/layers/grouped_mlp.h"
#include "engine/moe/token_dispatcher.h"
#include "kernels/core/tensor.h"

namespace moe {

// This rank's experts of one layer, or its slices of them; maybe none.
// Immutable, so thread-safe.
class Experts {
 public:
  explicit Experts(std::vector<MlpWeights> experts)
      : experts_(std::move(experts)) {}

  int64_t num_experts() const { return static_cast<int64_t>(experts_.size()); }
  // Features of what comes out of the products inside an expert, for scratch
  // memory; 0 if there is none.
  int64_t up_features() const;
  int64_t ffn_features() const;

  // Appends one job for each expert that has rows; each uses its slots' rows of
  // `scratch` and writes its slots' rows of `expert_out` [slots, hidden].
  void AppendJobs(const DispatchedTokens& tokens, const MlpScratch& scratch,
                  const TensorView& expert_out,
                  std::vector<MlpJob>& jobs) const;

 private:
  std::vector<MlpWeights> experts_;
};

}  // namespace moe
