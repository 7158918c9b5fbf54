#include "tools/checkpoint/model_presets.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr int64_t kGpt2Vocab = 50257;

struct Preset {
  const char* name;
  int64_t layers, hidden, heads, vocab, positions;
  std::vector<int64_t> experts;  // of every second layer; {}: dense
  bool residual;
};

// `head` n times, then `tail` m times.
std::vector<int64_t> Pyramid(size_t n, int64_t head, size_t m, int64_t tail) {
  std::vector<int64_t> experts(n, head);
  experts.insert(experts.end(), m, tail);
  return experts;
}

const std::vector<Preset>& Presets() {
  static const auto* const presets = new std::vector<Preset>{
      {"tiny", 4, 64, 4, 500, 128, {4}, false},
      {"tiny_dense", 4, 64, 4, 500, 128, {}, false},
      {"tiny_prmoe", 6, 64, 4, 500, 128, {2, 4, 8}, true},
      {"125m_moe_64", 12, 768, 12, kGpt2Vocab, 2048, {64}, false},
      {"350m", 24, 1024, 16, kGpt2Vocab, 2048, {}, false},
      {"350m_moe_8", 24, 1024, 16, kGpt2Vocab, 2048, {8}, false},
      {"350m_moe_32", 24, 1024, 16, kGpt2Vocab, 2048, {32}, false},
      {"350m_moe_128", 24, 1024, 16, kGpt2Vocab, 2048, {128}, false},
      {"350m_prmoe_32_64", 24, 1024, 16, kGpt2Vocab, 2048,
       Pyramid(10, 32, 2, 64), true},
      {"350m_mos_32_64", 21, 1024, 16, kGpt2Vocab, 2048, Pyramid(8, 32, 2, 64),
       true},
      {"1.3b", 24, 2048, 16, kGpt2Vocab, 2048, {}, false},
      {"1.3b_moe_128", 24, 2048, 16, kGpt2Vocab, 2048, {128}, false},
      {"1.3b_prmoe_64_128", 24, 2048, 16, kGpt2Vocab, 2048,
       Pyramid(10, 64, 2, 128), true},
      {"1.3b_mos_64_128", 21, 2048, 16, kGpt2Vocab, 2048,
       Pyramid(8, 64, 2, 128), true},
      {"6.7b", 32, 4096, 32, kGpt2Vocab, 2048, {}, false},
  };
  return *presets;
}

}  // namespace

int64_t PadVocabulary(int64_t vocab_size) {
  constexpr int64_t kMultiple = 128;
  return (vocab_size + kMultiple - 1) / kMultiple * kMultiple;
}

std::vector<std::string> ModelPresetNames() {
  std::vector<std::string> names;
  for (const Preset& preset : Presets()) names.emplace_back(preset.name);
  return names;
}

absl::Status SetExperts(absl::Span<const int64_t> experts,
                        UniformModelConfig* config) {
  const size_t layers = static_cast<size_t>(config->num_layers);
  config->experts_per_layer.assign(layers, 0);
  if (experts.empty()) return absl::OkStatus();
  if (experts.size() != 1 && experts.size() != layers / 2) {
    return absl::InvalidArgumentError(
        absl::StrCat("--experts has ", experts.size(), " numbers; a model of ",
                     layers, " layers has ", layers / 2,
                     " MoE layers: give one number for all or one for each"));
  }
  for (size_t i = 0; i < layers / 2; ++i) {
    config->experts_per_layer[2 * i + 1] =
        experts.size() == 1 ? experts[0] : experts[i];
  }
  return absl::OkStatus();
}

absl::StatusOr<UniformModelConfig> FindModelPreset(absl::string_view name) {
  for (const Preset& preset : Presets()) {
    if (name != preset.name) continue;
    UniformModelConfig config;
    config.num_layers = preset.layers;
    config.hidden_size = preset.hidden;
    config.num_heads = config.num_kv_heads = preset.heads;
    config.head_dim = preset.hidden / preset.heads;
    config.ffn_hidden_size = 4 * preset.hidden;
    config.vocab_size = preset.vocab;
    config.padded_vocab_size = PadVocabulary(preset.vocab);
    config.max_positions = preset.positions;
    config.normalize_top_k = false;
    if (preset.residual) config.residual_moe = ResidualMoeKind::kB2;
    RETURN_IF_ERROR(SetExperts(preset.experts, &config));
    return config;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("no preset '", name, "'; there are ",
                   absl::StrJoin(ModelPresetNames(), ", ")));
}

}  // namespace moe
