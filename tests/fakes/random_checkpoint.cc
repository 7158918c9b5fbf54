#include "tests/fakes/random_checkpoint.h"

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/config/weight_inventory.h"
#include "kernels/core/status_macros.h"
#include "tests/support/cut_weight.h"

namespace moe {
namespace {

// About the spread that keeps activations of order one through the layers.
float Scale(absl::string_view name, const std::vector<int64_t>& dims) {
  if (dims.size() == 1) return 0.1f;
  if (absl::StartsWith(name, "embedding")) return 1.0f;
  return 1.7f / std::sqrt(static_cast<float>(dims.back()));
}

}  // namespace

RandomCheckpoint::RandomCheckpoint(const ModelConfig& config, DType dtype,
                                   uint32_t seed)
    : config_(config), dtype_(dtype), seed_(seed) {
  for (const WeightSpec& spec : WeightInventory(config).All()) {
    dims_[spec.name] = spec.dims;
  }
}

bool RandomCheckpoint::Has(absl::string_view name) const {
  return dims_.count(std::string(name)) > 0;
}

absl::StatusOr<HostWeight> RandomCheckpoint::Get(absl::string_view name) const {
  const auto found = dims_.find(std::string(name));
  if (found == dims_.end()) {
    return absl::NotFoundError(absl::StrCat("no tensor ", name));
  }
  HostWeight weight;
  ASSIGN_OR_RETURN(weight.owned, Tensor::Allocate(dtype_, found->second));
  const bool is_norm_weight = absl::StrContains(name, "norm.weight");
  const float scale = Scale(name, found->second);
  uint32_t state = seed_;
  for (char c : name) state = (state ^ static_cast<uint8_t>(c)) * 16777619u;
  for (int64_t i = 0; i < weight.owned.view().num_elements(); ++i) {
    state = state * 1664525u + 1013904223u;
    const float x =
        scale * (static_cast<float>(state >> 8) / (1 << 23) - 1.0f) +
        (is_norm_weight ? 1.0f : 0.0f);
    switch (dtype_) {
      case DType::kBf16:
        weight.owned.ptr<uint16_t>()[i] = FloatToBf16(x);
        break;
      case DType::kF16:
        weight.owned.ptr<uint16_t>()[i] = FloatToHalf(x);
        break;
      default:
        weight.owned.ptr<float>()[i] = x;
    }
  }
  weight.view = weight.owned.view();
  const auto damage = damages_.find(found->first);
  if (damage != damages_.end()) damage->second(weight);
  return weight;
}

absl::StatusOr<HostWeight> RandomCheckpoint::GetShard(
    absl::string_view name, const WeightSlice& slice) const {
  ASSIGN_OR_RETURN(const HostWeight whole, Get(name));
  return CutWeight(whole.view, slice);
}

UniformModelConfig SmallPrMoeConfig() {
  UniformModelConfig config;
  config.family = "pr_moe";
  config.vocab_size = 101;
  config.padded_vocab_size = 128;
  config.hidden_size = 48;
  config.num_layers = 4;
  config.num_heads = 4;
  config.num_kv_heads = 4;
  config.head_dim = 12;
  config.ffn_hidden_size = 96;
  config.max_positions = 256;
  config.experts_per_layer = {0, 3, 0, 5};
  config.top_k = 1;
  config.residual_moe = ResidualMoeKind::kB2;
  return config;
}

}  // namespace moe
