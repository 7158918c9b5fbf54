#include "engine/config/model_config_check.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/config/parameter_count.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// Far above any model, and small enough that a product of two does not
// overflow. (The number of parameters bounds longer products.)
constexpr int64_t kMaxDimension = int64_t{1} << 28;
constexpr int64_t kMaxLayers = 1 << 14;
constexpr int64_t kMaxExperts = 1 << 16;
constexpr int64_t kMaxPositions = 1 << 24;
constexpr double kMaxParameters = 1e16;

absl::Status Invalid(absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("model config: ", what));
}

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t low,
                        int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return Invalid(absl::StrCat(field, " is ", value, ", must be in [", low, ", ",
                              high, "]"));
}

absl::Status CheckNorm(const NormConfig& norm) {
  const float epsilon = norm.epsilon;
  if (std::isfinite(epsilon) && epsilon >= 0 && epsilon <= 1) {
    return absl::OkStatus();
  }
  return Invalid(
      absl::StrCat("norm_epsilon is ", epsilon, ", must be in [0, 1]"));
}

absl::Status CheckAttention(const AttentionConfig& c) {
  RETURN_IF_ERROR(CheckRange("num_heads", c.num_heads, 1, kMaxDimension));
  RETURN_IF_ERROR(CheckRange("num_kv_heads", c.num_kv_heads, 1, c.num_heads));
  RETURN_IF_ERROR(CheckRange("head_dim", c.head_dim, 1, kMaxDimension));
  if (c.num_heads % c.num_kv_heads != 0) {
    return Invalid(absl::StrCat("num_heads ", c.num_heads,
                                " is not a multiple of num_kv_heads ",
                                c.num_kv_heads));
  }
  if (!c.rope.has_value()) return absl::OkStatus();
  const RopeConfig& rope = *c.rope;
  RETURN_IF_ERROR(CheckRange("rotary_dim", rope.rotary_dim, 1, c.head_dim));
  if (rope.rotary_dim % 2 != 0 && rope.rotary_dim == c.head_dim) {
    return Invalid(absl::StrCat("rotary_dim ", rope.rotary_dim,
                                " is odd and all of head_dim: its last channel "
                                "has none to be rotated with"));
  }
  if (!std::isfinite(rope.theta) || rope.theta <= 0) {
    return Invalid(
        absl::StrCat("rope_theta is ", rope.theta, ", must be positive"));
  }
  return absl::OkStatus();
}

absl::Status CheckLayer(const LayerConfig& c, int64_t layer) {
  RETURN_IF_ERROR(CheckAttention(c.attention));
  RETURN_IF_ERROR(CheckRange("ffn_hidden_size", c.any_mlp().ffn_hidden_size, 1,
                             kMaxDimension));
  RETURN_IF_ERROR(CheckNorm(c.attention_norm));
  RETURN_IF_ERROR(CheckNorm(c.mlp_norm));
  if (!c.is_moe()) return absl::OkStatus();
  const MoeConfig& moe = c.moe();
  RETURN_IF_ERROR(CheckRange(absl::StrCat("experts_per_layer[", layer, "]"),
                             moe.num_experts, 1, kMaxExperts));
  if (moe.top_k < 1 || moe.top_k > moe.num_experts) {
    return Invalid(absl::StrCat("top_k is ", moe.top_k, ", but layer ", layer,
                                " has ", moe.num_experts, " experts"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateNumLayers(int64_t num_layers) {
  return CheckRange("num_layers", num_layers, 1, kMaxLayers);
}

absl::Status ValidateModelConfig(const ModelConfig& c) {
  RETURN_IF_ERROR(CheckRange("hidden_size", c.hidden_size, 1, kMaxDimension));
  RETURN_IF_ERROR(ValidateNumLayers(c.num_layers()));
  RETURN_IF_ERROR(
      CheckRange("max_positions", c.max_positions, 1, kMaxPositions));
  RETURN_IF_ERROR(
      CheckRange("padded_vocab_size", c.padded_vocab_size, 1, kMaxDimension));
  RETURN_IF_ERROR(
      CheckRange("vocab_size", c.vocab_size, 1, c.padded_vocab_size));
  for (int64_t layer = 0; layer < c.num_layers(); ++layer) {
    RETURN_IF_ERROR(CheckLayer(c.layers[layer], layer));
  }
  RETURN_IF_ERROR(CheckNorm(c.final_norm));
  if (const double total = EstimateParameters(c); total > kMaxParameters) {
    return Invalid(absl::StrCat("its sizes make ", total,
                                " parameters, must be at most ",
                                kMaxParameters));
  }
  return absl::OkStatus();
}

}  // namespace moe
