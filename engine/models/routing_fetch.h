#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "engine/models/model.h"
#include "engine/moe/token_dispatcher.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Brings the routing of one step from the device. Not thread-safe.
class RoutingFetch {
 public:
  explicit RoutingFetch(int64_t num_layers) : layers_(num_layers) {}

  // Enqueues copies of the layer's choices and their weights.
  absl::Status Fetch(int64_t layer, const GatingResult& gating, Stream& stream);
  // After the stream has been waited for.
  void Finish(RoutingTrace& trace) const;

 private:
  struct Layer {
    Tensor expert_ids;  // pinned; empty for dense layers
    Tensor weights;
  };
  std::vector<Layer> layers_;
};

}  // namespace moe
