#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace moe {

enum class NormKind { kLayerNorm, kRmsNorm };

enum class ActivationKind {
  kGeluTanh,     // 0.5 z (1 + tanh(0.79788456 z (1 + 0.044715 z^2)))
  kGeluErf,      // z Phi(z)
  kSquaredRelu,  // max(z, 0)^2
  kSwiGlu,       // silu(first half) * second half; W1 is [2 * ffn, hidden]
};

enum class PositionKind { kLearned, kRotary };

// How a residual MoE layer mixes its dense MLP with its chosen expert, x being
// the input of both and c = softmax(Wc x [+ bc]) over the two coefficients.
enum class ResidualMoeKind {
  kNone,
  kA,   // c[0] * MLP(x) + c[1] * MoE(x), no bias (Megatron-DeepSpeed, 2021-12)
  kB1,  // MoE(x) + MLP(x): DeepSpeed 0.6's softmax over the batch axis of one
  kB2,  // c[0] * MoE(x) + c[1] * MLP(x) (DeepSpeed >= 0.7)
};

// All that the decoder needs to know of a model's shape. A model family is a
// way to fill this in. Plain data; thread-compatible.
struct ModelConfig {
  std::string family;  // "gpt", "gpt_moe", "pr_moe": for people and logs

  int64_t vocab_size = 0;         // real entries; logits beyond are not served
  int64_t padded_vocab_size = 0;  // rows of the embedding
  int64_t hidden_size = 0;
  int64_t num_layers = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;  // == num_heads unless grouped-query
  int64_t head_dim = 0;
  int64_t ffn_hidden_size = 0;
  int64_t max_positions = 0;  // longest context, prompt and answer together

  NormKind norm = NormKind::kLayerNorm;
  float norm_epsilon = 1e-5f;
  bool norm_weight_plus_one = false;  // gamma is stored minus 1
  // The residual branches from the normalised input instead of the raw one.
  bool residual_post_norm = false;

  ActivationKind activation = ActivationKind::kGeluTanh;
  bool linear_bias = true;
  bool tied_embeddings = true;

  PositionKind position = PositionKind::kLearned;
  float rope_theta = 10000.0f;
  // Leading channels of a head that are rotated. If it is odd, one more is,
  // with the angles of the odd number (as Megatron does).
  int64_t rotary_dim = 0;
  // Megatron-DeepSpeed 2025 rotates with cos(cos t), sin(cos t): see
  // docs/checkpoints.md.
  bool rope_double_cos_quirk = false;

  // Per layer: experts of its MoE, or 0 for a dense MLP. [num_layers]
  std::vector<int64_t> experts_per_layer;
  int64_t top_k = 1;
  // Chosen probabilities are divided by their sum (top_k >= 2).
  bool normalize_top_k = true;
  ResidualMoeKind residual_moe = ResidualMoeKind::kNone;

  bool is_moe_layer(int64_t layer) const {
    return experts_per_layer[layer] > 0;
  }

  // kInvalidArgument naming the field, if the numbers do not fit together.
  absl::Status Validate() const;
};

// Weights of the whole model, and of those that one token passes through.
struct ParameterCount {
  int64_t total = 0;
  int64_t active = 0;
};
// `config` must be valid.
ParameterCount CountParameters(const ModelConfig& config);

}  // namespace moe
