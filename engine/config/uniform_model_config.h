#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/config/model_config.h"

namespace moe {

// A model whose layers differ only in their number of experts, as Megatron's
// arguments describe it: one value for all layers. LayerConfig explains the
// fields. Plain data.
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

  // The uniform form of `config`; nullopt if its layers differ in more than
  // their number of experts.
  static std::optional<UniformModelConfig> Of(const ModelConfig& config);

  // ValidateModelConfig, and kInvalidArgument for values that no layer can
  // have.
  absl::Status Validate() const;

  // Implicit, since both describe the same model.
  operator ModelConfig() const;  // NOLINT(google-explicit-constructor)
};

}  // namespace moe
