#include "engine/config/model_config.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// Far above any model, far below where products of two of them overflow. (What
// has more factors is bounded by the number of parameters.)
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

absl::Status CheckSizes(const ModelConfig& c) {
  RETURN_IF_ERROR(CheckRange("hidden_size", c.hidden_size, 1, kMaxDimension));
  RETURN_IF_ERROR(CheckRange("num_layers", c.num_layers, 1, kMaxLayers));
  RETURN_IF_ERROR(CheckRange("num_heads", c.num_heads, 1, kMaxDimension));
  RETURN_IF_ERROR(CheckRange("num_kv_heads", c.num_kv_heads, 1, c.num_heads));
  RETURN_IF_ERROR(CheckRange("head_dim", c.head_dim, 1, kMaxDimension));
  RETURN_IF_ERROR(
      CheckRange("ffn_hidden_size", c.ffn_hidden_size, 1, kMaxDimension));
  RETURN_IF_ERROR(
      CheckRange("max_positions", c.max_positions, 1, kMaxPositions));
  RETURN_IF_ERROR(
      CheckRange("padded_vocab_size", c.padded_vocab_size, 1, kMaxDimension));
  RETURN_IF_ERROR(
      CheckRange("vocab_size", c.vocab_size, 1, c.padded_vocab_size));
  if (c.num_heads % c.num_kv_heads != 0) {
    return Invalid(absl::StrCat("num_heads ", c.num_heads,
                                " is not a multiple of num_kv_heads ",
                                c.num_kv_heads));
  }
  return absl::OkStatus();
}

absl::Status CheckPositions(const ModelConfig& c) {
  if (c.position != PositionKind::kRotary) return absl::OkStatus();
  RETURN_IF_ERROR(CheckRange("rotary_dim", c.rotary_dim, 1, c.head_dim));
  if (c.rotary_dim % 2 != 0 && c.rotary_dim == c.head_dim) {
    return Invalid(absl::StrCat("rotary_dim ", c.rotary_dim,
                                " is odd and all of head_dim: its last channel "
                                "has none to be rotated with"));
  }
  if (!std::isfinite(c.rope_theta) || c.rope_theta <= 0) {
    return Invalid(
        absl::StrCat("rope_theta is ", c.rope_theta, ", must be positive"));
  }
  return absl::OkStatus();
}

absl::Status CheckExperts(const ModelConfig& c) {
  if (static_cast<int64_t>(c.experts_per_layer.size()) != c.num_layers) {
    return Invalid(absl::StrCat("experts_per_layer has ",
                                c.experts_per_layer.size(), " entries for ",
                                c.num_layers, " layers"));
  }
  bool has_moe = false;
  for (size_t layer = 0; layer < c.experts_per_layer.size(); ++layer) {
    const int64_t experts = c.experts_per_layer[layer];
    RETURN_IF_ERROR(CheckRange(absl::StrCat("experts_per_layer[", layer, "]"),
                               experts, 0, kMaxExperts));
    if (experts == 0) continue;
    has_moe = true;
    if (c.top_k < 1 || c.top_k > experts) {
      return Invalid(absl::StrCat("top_k is ", c.top_k, ", but layer ", layer,
                                  " has ", experts, " experts"));
    }
  }
  if (!has_moe && c.residual_moe != ResidualMoeKind::kNone) {
    return Invalid("residual_moe is set, but no layer has experts");
  }
  return absl::OkStatus();
}

template <typename Number>
struct Counts {
  Number total = 0, active = 0;
};

// Number: int64_t, or double for sizes that may overflow it.
template <typename Number>
Counts<Number> Count(const ModelConfig& c) {
  const Number hidden = c.hidden_size, ffn = c.ffn_hidden_size;
  const Number vocab = c.padded_vocab_size, head_dim = c.head_dim;
  const Number bias = c.linear_bias ? 1 : 0;
  const Number norm = hidden * (c.norm == NormKind::kLayerNorm ? 2 : 1);
  const Number q_rows = c.num_heads * head_dim;
  const Number qkv_rows = q_rows + 2 * c.num_kv_heads * head_dim;
  const Number attention =
      qkv_rows * (hidden + bias) + hidden * (q_rows + bias);
  const Number up_rows =
      ffn * (c.activation == ActivationKind::kSwiGlu ? 2 : 1);
  const Number mlp = up_rows * (hidden + bias) + hidden * (ffn + bias);

  Counts<Number> count;
  Number common = vocab * hidden + norm;
  if (c.position == PositionKind::kLearned) common += c.max_positions * hidden;
  if (!c.tied_embeddings) common += vocab * hidden;
  count.total = count.active = common;
  for (const int64_t experts : c.experts_per_layer) {
    Number shared = attention + 2 * norm;
    if (experts == 0 || c.residual_moe != ResidualMoeKind::kNone) shared += mlp;
    if (experts > 0) {
      shared += experts * hidden;  // gate
      if (c.residual_moe != ResidualMoeKind::kNone) {
        const bool has_bias = c.residual_moe != ResidualMoeKind::kA;
        shared += 2 * (hidden + (has_bias ? 1 : 0));
      }
    }
    count.total += shared + experts * mlp;
    count.active += shared + (experts > 0 ? c.top_k * mlp : 0);
  }
  return count;
}

}  // namespace

absl::Status ModelConfig::Validate() const {
  RETURN_IF_ERROR(CheckSizes(*this));
  RETURN_IF_ERROR(CheckPositions(*this));
  RETURN_IF_ERROR(CheckExperts(*this));
  if (const double total = Count<double>(*this).total; total > kMaxParameters) {
    return Invalid(absl::StrCat("its sizes make ", total,
                                " parameters, must be at most ",
                                kMaxParameters));
  }
  if (!std::isfinite(norm_epsilon) || norm_epsilon < 0 || norm_epsilon > 1) {
    return Invalid(
        absl::StrCat("norm_epsilon is ", norm_epsilon, ", must be in [0, 1]"));
  }
  return absl::OkStatus();
}

ParameterCount CountParameters(const ModelConfig& config) {
  const Counts<int64_t> counts = Count<int64_t>(config);
  return {counts.total, counts.active};
}

}  // namespace moe
