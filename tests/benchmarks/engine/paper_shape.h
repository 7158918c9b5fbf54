#pragma once

#include <cstdint>

#include "engine/config/uniform_model_config.h"

namespace moe {

// A model in the shape of the paper's 350M+MoE: heads of 64, MoE of `experts`
// in every second layer, top-1, four times as wide inside an MLP.
inline UniformModelConfig PaperShape(int64_t layers, int64_t hidden,
                                     int64_t vocab, int64_t experts) {
  UniformModelConfig config;
  config.family = "gpt_moe";
  config.vocab_size = config.padded_vocab_size = vocab;
  config.hidden_size = hidden;
  config.num_layers = layers;
  config.head_dim = 64;
  config.num_heads = config.num_kv_heads = hidden / 64;
  config.ffn_hidden_size = 4 * hidden;
  config.max_positions = 2048;
  for (int64_t layer = 0; layer < layers; ++layer) {
    config.experts_per_layer.push_back(layer % 2 == 1 ? experts : 0);
  }
  return config;
}

}  // namespace moe
