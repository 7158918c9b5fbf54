#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/config/model_config.h"

namespace moe {

// A model whose layers are alike but for the number of their experts: what
// Megatron's arguments can say, one number for all layers. See LayerConfig for
// what the fields mean. Plain data.
struct UniformModelConfig {
  std::string family;
  int64_t vocab_size = 0;
  int64_t padded_vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn_hidden_size = 0;
  int64_t max_positions = 0;

  NormConfig norm;
  bool residual_post_norm = false;
  ActivationKind activation = ActivationKind::kGeluTanh;
  bool linear_bias = true;
  bool tied_embeddings = true;
  std::optional<RopeConfig> rope;  // absent: positions are learned

  // Experts of each layer, 0 for a dense MLP. [num_layers]
  std::vector<int64_t> experts_per_layer;
  int64_t top_k = 1;
  bool normalize_top_k = true;
  ResidualMoeKind residual_moe = ResidualMoeKind::kNone;

  // What `config` has if its layers are alike; nullopt if they differ in more
  // than their experts.
  static std::optional<UniformModelConfig> Of(const ModelConfig& config);

  // As ValidateModelConfig, and kInvalidArgument for what no layer could have.
  absl::Status Validate() const;

  // Implicit: it is a model's configuration in another form.
  operator ModelConfig() const;  // NOLINT(google-explicit-constructor)
};

}  // namespace moe
