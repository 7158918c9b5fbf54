#include "engine/config/uniform_model_config.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "engine/config/model_config_check.h"
#include "kernels/core/status_macros.h"

namespace moe {

UniformModelConfig::operator ModelConfig() const {
  ModelConfig config;
  config.family = family;
  config.vocab_size = vocab_size;
  config.padded_vocab_size = padded_vocab_size;
  config.hidden_size = hidden_size;
  config.max_positions = max_positions;
  config.learned_positions = !rope.has_value();
  config.tied_embeddings = tied_embeddings;
  config.final_norm = norm;
  LayerConfig dense;
  dense.attention_norm = dense.mlp_norm = norm;
  dense.attention = {num_heads, num_kv_heads, head_dim, linear_bias, rope};
  dense.residual_post_norm = residual_post_norm;
  const MlpConfig mlp = {ffn_hidden_size, activation, linear_bias};
  dense.mlp = mlp;
  config.layers.assign(static_cast<size_t>(std::max<int64_t>(num_layers, 0)),
                       dense);
  for (size_t layer = 0;
       layer < std::min(config.layers.size(), experts_per_layer.size());
       ++layer) {
    if (experts_per_layer[layer] == 0) continue;
    config.layers[layer].mlp = MoeConfig{experts_per_layer[layer], top_k,
                                         normalize_top_k, mlp, residual_moe};
  }
  return config;
}

std::optional<UniformModelConfig> UniformModelConfig::Of(
    const ModelConfig& config) {
  if (config.layers.empty()) return std::nullopt;
  const LayerConfig& first = config.layers[0];
  const MlpConfig& mlp = first.any_mlp();
  UniformModelConfig c;
  c.family = config.family;
  c.vocab_size = config.vocab_size;
  c.padded_vocab_size = config.padded_vocab_size;
  c.hidden_size = config.hidden_size;
  c.num_layers = config.num_layers();
  c.num_heads = first.attention.num_heads;
  c.num_kv_heads = first.attention.num_kv_heads;
  c.head_dim = first.attention.head_dim;
  c.ffn_hidden_size = mlp.ffn_hidden_size;
  c.max_positions = config.max_positions;
  c.norm = config.final_norm;
  c.residual_post_norm = first.residual_post_norm;
  c.activation = mlp.activation;
  c.linear_bias = mlp.has_bias;
  c.tied_embeddings = config.tied_embeddings;
  c.rope = first.attention.rope;
  c.experts_per_layer = config.experts_per_layer();
  const auto moe =
      std::find_if(config.layers.begin(), config.layers.end(),
                   [](const LayerConfig& layer) { return layer.is_moe(); });
  if (moe != config.layers.end()) {
    c.top_k = moe->moe().top_k;
    c.normalize_top_k = moe->moe().normalize_top_k;
    c.residual_moe = moe->moe().residual;
  }
  if (static_cast<ModelConfig>(c) != config) return std::nullopt;
  return c;
}

absl::Status UniformModelConfig::Validate() const {
  RETURN_IF_ERROR(ValidateNumLayers(num_layers));
  if (static_cast<int64_t>(experts_per_layer.size()) != num_layers) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model config: experts_per_layer has ", experts_per_layer.size(),
        " entries for ", num_layers, " layers"));
  }
  const ModelConfig config = *this;
  RETURN_IF_ERROR(ValidateModelConfig(config));
  if (!config.has_experts() && residual_moe != ResidualMoeKind::kNone) {
    return absl::InvalidArgumentError(
        "model config: residual_moe is set, but no layer has experts");
  }
  return absl::OkStatus();
}

}  // namespace moe
