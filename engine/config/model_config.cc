#include "engine/config/model_config.h"

#include <algorithm>

namespace moe {

std::vector<int64_t> ModelConfig::experts_per_layer() const {
  std::vector<int64_t> experts;
  for (int64_t layer = 0; layer < num_layers(); ++layer) {
    experts.push_back(num_experts(layer));
  }
  return experts;
}

bool ModelConfig::has_experts() const {
  return std::any_of(layers.begin(), layers.end(),
                     [](const LayerConfig& layer) { return layer.is_moe(); });
}

int64_t ModelConfig::max_top_k() const {
  int64_t top_k = 1;
  for (const LayerConfig& layer : layers) {
    if (layer.is_moe()) top_k = std::max(top_k, layer.moe().top_k);
  }
  return top_k;
}

ResidualMoeKind ModelConfig::residual_moe() const {
  for (const LayerConfig& layer : layers) {
    if (layer.is_moe() && layer.moe().has_residual_mlp()) {
      return layer.moe().residual;
    }
  }
  return ResidualMoeKind::kNone;
}

}  // namespace moe
