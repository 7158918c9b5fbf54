#pragma once

#include <cstdint>
#include <optional>
#include <variant>

namespace moe {

enum class NormKind { kLayerNorm, kRmsNorm };

enum class ActivationKind {
  kGeluTanh,     // 0.5 z (1 + tanh(0.79788456 z (1 + 0.044715 z^2)))
  kGeluErf,      // z Phi(z)
  kSquaredRelu,  // max(z, 0)^2
  kSwiGlu,       // silu(first half) * second half; W1 is [2 * ffn, hidden]
};

// How a residual MoE layer mixes its dense MLP with its chosen expert, x being
// the input of both and c = softmax(Wc x [+ bc]) over the two coefficients.
enum class ResidualMoeKind {
  kNone,
  kA,   // c[0] * MLP(x) + c[1] * MoE(x), no bias (Megatron-DeepSpeed, 2021-12)
  kB1,  // MoE(x) + MLP(x): DeepSpeed 0.6's softmax over the batch axis of one
  kB2,  // c[0] * MoE(x) + c[1] * MLP(x) (DeepSpeed >= 0.7)
};

struct NormConfig {
  NormKind kind = NormKind::kLayerNorm;
  float epsilon = 1e-5f;
  bool weight_plus_one = false;  // gamma is stored minus 1

  bool operator==(const NormConfig&) const = default;
};

// Rotary positions.
struct RopeConfig {
  float theta = 10000.0f;
  // Number of leading channels of a head that are rotated. If it is odd, one
  // more channel is, with the angles of the odd number (as in Megatron).
  int64_t rotary_dim = 0;
  // Megatron-DeepSpeed 2025 rotates with cos(cos t), sin(cos t): see
  // docs/checkpoints.md.
  bool double_cos_quirk = false;

  bool operator==(const RopeConfig&) const = default;
};

struct AttentionConfig {
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;  // == num_heads unless grouped-query
  int64_t head_dim = 0;
  bool has_bias = true;
  // Absent: queries and keys are not rotated.
  std::optional<RopeConfig> rope = std::nullopt;

  int64_t query_rows() const { return num_heads * head_dim; }
  int64_t kv_rows() const { return num_kv_heads * head_dim; }
  // Rows of the fused QKV matrix.
  int64_t qkv_rows() const { return query_rows() + 2 * kv_rows(); }

  bool operator==(const AttentionConfig&) const = default;
};

// down(activation(up(x))).
struct MlpConfig {
  int64_t ffn_hidden_size = 0;
  ActivationKind activation = ActivationKind::kGeluTanh;
  bool has_bias = true;

  bool is_gated() const { return activation == ActivationKind::kSwiGlu; }
  // Rows of `up`.
  int64_t up_rows() const { return ffn_hidden_size * (is_gated() ? 2 : 1); }

  bool operator==(const MlpConfig&) const = default;
};

struct MoeConfig {
  int64_t num_experts = 0;
  int64_t top_k = 1;
  // Chosen probabilities are divided by their sum (top_k >= 2).
  bool normalize_top_k = true;
  // The shape of each expert, and of the residual MLP if there is one.
  MlpConfig mlp = {};
  ResidualMoeKind residual = ResidualMoeKind::kNone;

  bool has_residual_mlp() const { return residual != ResidualMoeKind::kNone; }

  bool operator==(const MoeConfig&) const = default;
};

// One decoder layer. Plain data.
struct LayerConfig {
  NormConfig attention_norm;
  AttentionConfig attention;
  NormConfig mlp_norm;
  std::variant<MlpConfig, MoeConfig> mlp;
  // The residual connection takes the normalised input instead of the raw one.
  bool residual_post_norm = false;

  bool is_moe() const { return std::holds_alternative<MoeConfig>(mlp); }
  // For a layer with experts.
  const MoeConfig& moe() const { return std::get<MoeConfig>(mlp); }
  MoeConfig& moe() { return std::get<MoeConfig>(mlp); }
  // The MLP of a dense layer; of a layer with experts, that of each of them.
  const MlpConfig& any_mlp() const {
    return is_moe() ? moe().mlp : std::get<MlpConfig>(mlp);
  }
  // True if the layer has a MLP for every row: a dense or a residual one.
  bool has_shared_mlp() const { return !is_moe() || moe().has_residual_mlp(); }

  bool operator==(const LayerConfig&) const = default;
};

}  // namespace moe
