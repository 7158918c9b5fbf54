#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "engine/config/uniform_model_config.h"
#include "engine/parallel/exchange_cost_model.h"

namespace moe {

// 24 layers of the paper's 1.3B shape, every second one with experts: 4, then
// 8, then 16 of them.
inline UniformModelConfig Pyramid() {
  UniformModelConfig config;
  config.vocab_size = 50257;
  config.padded_vocab_size = 50304;
  config.hidden_size = 2048;
  config.num_layers = 12;
  config.num_heads = config.num_kv_heads = 16;
  config.head_dim = 128;
  config.ffn_hidden_size = 8192;
  config.max_positions = 2048;
  config.experts_per_layer = {0, 4, 0, 4, 0, 8, 0, 8, 0, 16, 0, 16};
  config.residual_moe = ResidualMoeKind::kB2;
  return config;
}

inline UniformModelConfig Dense() {
  UniformModelConfig config = Pyramid();
  config.experts_per_layer.assign(config.num_layers, 0);
  config.residual_moe = ResidualMoeKind::kNone;
  return config;
}

inline UniformModelConfig WithExperts(int64_t experts) {
  UniformModelConfig config = Pyramid();
  for (int64_t& n : config.experts_per_layer) n = n > 0 ? experts : 0;
  return config;
}

// Shared memory in the node and ten gigabits with 50 us a message between.
inline ExchangeCosts Costs() {
  ExchangeCosts costs;
  costs.in_node = {absl::Microseconds(3), absl::Microseconds(1), 5e9};
  costs.across = {absl::Microseconds(50), absl::Microseconds(20), 1.25e9};
  costs.copy_bytes_per_second = 10e9;
  return costs;
}

}  // namespace moe
