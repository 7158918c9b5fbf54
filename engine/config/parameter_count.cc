#include "engine/config/parameter_count.h"

namespace moe {
namespace {

template <typename Number>
struct Counts {
  Number total = 0, active = 0;
};

template <typename Number>
Number CountNorm(const NormConfig& norm, Number hidden) {
  return hidden * (norm.kind == NormKind::kLayerNorm ? 2 : 1);
}

// Number: int64_t, or double for sizes that may overflow it.
template <typename Number>
Counts<Number> Count(const ModelConfig& c) {
  const Number hidden = c.hidden_size, vocab = c.padded_vocab_size;
  Counts<Number> count;
  Number common = vocab * hidden + CountNorm(c.final_norm, hidden);
  if (c.learned_positions) common += c.max_positions * hidden;
  if (!c.tied_embeddings) common += vocab * hidden;
  count.total = count.active = common;
  for (const LayerConfig& layer : c.layers) {
    const AttentionConfig& a = layer.attention;
    const MlpConfig& m = layer.any_mlp();
    const Number a_bias = a.has_bias ? 1 : 0, m_bias = m.has_bias ? 1 : 0;
    const Number mlp =
        m.up_rows() * (hidden + m_bias) + hidden * (m.ffn_hidden_size + m_bias);
    Number shared = a.qkv_rows() * (hidden + a_bias) +
                    hidden * (a.query_rows() + a_bias) +
                    CountNorm(layer.attention_norm, hidden) +
                    CountNorm(layer.mlp_norm, hidden);
    if (layer.has_shared_mlp()) shared += mlp;
    count.total += shared;
    count.active += shared;
    if (!layer.is_moe()) continue;
    const MoeConfig& moe = layer.moe();
    Number gate = moe.num_experts * hidden;
    if (moe.has_residual_mlp()) {
      gate += 2 * (hidden + (moe.residual != ResidualMoeKind::kA ? 1 : 0));
    }
    count.total += gate + moe.num_experts * mlp;
    count.active += gate + moe.top_k * mlp;
  }
  return count;
}

}  // namespace

ParameterCount CountParameters(const ModelConfig& config) {
  const Counts<int64_t> counts = Count<int64_t>(config);
  return {counts.total, counts.active};
}

double EstimateParameters(const ModelConfig& config) {
  return Count<double>(config).total;
}

}  // namespace moe
