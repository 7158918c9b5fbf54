#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/config/layer_config.h"

namespace moe {

// The shape of a model, from which the decoder is assembled. Each model family
// fills it in. Plain data; thread-compatible.
struct ModelConfig {
  std::string family;  // "gpt", "gpt_moe", "pr_moe"; for logs and the API

  int64_t vocab_size = 0;         // without padding
  int64_t padded_vocab_size = 0;  // rows of the embedding
  int64_t hidden_size = 0;
  int64_t max_positions = 0;  // longest context, prompt and answer together
  // A table of positions is added to the embedding. [max_positions, hidden]
  bool learned_positions = true;
  bool tied_embeddings = true;
  std::vector<LayerConfig> layers;
  NormConfig final_norm;

  int64_t num_layers() const { return static_cast<int64_t>(layers.size()); }
  bool is_moe_layer(int64_t layer) const { return layers[layer].is_moe(); }
  // 0 for a dense layer.
  int64_t num_experts(int64_t layer) const {
    return is_moe_layer(layer) ? layers[layer].moe().num_experts : 0;
  }
  std::vector<int64_t> experts_per_layer() const;  // [num_layers]
  bool has_experts() const;
  // The maximum over the layers; 1 without experts.
  int64_t max_top_k() const;
  // That of the first layer with one, else kNone.
  ResidualMoeKind residual_moe() const;

  bool operator==(const ModelConfig&) const = default;
};

}  // namespace moe
