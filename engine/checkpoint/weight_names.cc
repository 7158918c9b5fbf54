#include "engine/checkpoint/weight_names.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace moe {
namespace {

// Weights of one decoder, collected in order.
class WeightList {
 public:
  explicit WeightList(const ModelConfig& config) : config_(config) {}

  void Add(const std::string& name, std::vector<int64_t> dims) {
    weights_.push_back({name, std::move(dims)});
  }

  void AddNorm(const std::string& name, const NormConfig& norm) {
    Add(name + ".weight", {config_.hidden_size});
    if (norm.kind == NormKind::kLayerNorm) {
      Add(name + ".bias", {config_.hidden_size});
    }
  }

  void AddLinear(const std::string& name, int64_t out, int64_t in,
                 bool has_bias) {
    Add(name + ".weight", {out, in});
    if (has_bias) Add(name + ".bias", {out});
  }

  void AddMlp(const std::string& prefix, const MlpConfig& mlp) {
    AddLinear(prefix + "up", mlp.up_rows(), config_.hidden_size, mlp.has_bias);
    AddLinear(prefix + "down", config_.hidden_size, mlp.ffn_hidden_size,
              mlp.has_bias);
  }

  std::vector<WeightSpec> Take() { return std::move(weights_); }

 private:
  const ModelConfig& config_;
  std::vector<WeightSpec> weights_;
};

void AddMoe(const ModelConfig& config, int64_t layer, WeightList& weights) {
  const MoeConfig& moe = config.layers[layer].moe();
  const std::string prefix = LayerPrefix(layer);
  weights.Add(prefix + "moe.gate.weight",
              {moe.num_experts, config.hidden_size});
  if (moe.has_residual_mlp()) {
    weights.Add(prefix + "moe.coefficient.weight", {2, config.hidden_size});
    if (moe.residual != ResidualMoeKind::kA) {
      weights.Add(prefix + "moe.coefficient.bias", {2});
    }
  }
  for (int64_t expert = 0; expert < moe.num_experts; ++expert) {
    weights.AddMlp(ExpertPrefix(layer, expert), moe.mlp);
  }
}

bool ConsumeIndex(absl::string_view* text, int64_t* index) {
  const size_t dot = text->find('.');
  constexpr size_t kMaxDigits = 9;
  if (dot == absl::string_view::npos || dot == 0 || dot > kMaxDigits) {
    return false;
  }
  for (char c : text->substr(0, dot)) {
    if (!absl::ascii_isdigit(c)) return false;
  }
  if (!absl::SimpleAtoi(text->substr(0, dot), index)) return false;
  text->remove_prefix(dot + 1);
  return true;
}

struct Rename {
  absl::string_view from;
  absl::string_view to;
  WeightSplit split;
};

constexpr Rename kModelNames[] = {
    {"embedding.word_embeddings.weight", "embedding.weight",
     WeightSplit::kRows},
    {"embedding.position_embeddings.weight", "position_embedding.weight",
     WeightSplit::kReplicated},
    {"output_layer.weight", "output.weight", WeightSplit::kRows},
    {"encoder.final_layernorm.weight", "final_norm.weight",
     WeightSplit::kReplicated},
    {"encoder.final_layernorm.bias", "final_norm.bias",
     WeightSplit::kReplicated},
};

constexpr Rename kLayerNames[] = {
    {"input_layernorm.weight", "attention_norm.weight",
     WeightSplit::kReplicated},
    {"input_layernorm.bias", "attention_norm.bias", WeightSplit::kReplicated},
    {"post_attention_layernorm.weight", "mlp_norm.weight",
     WeightSplit::kReplicated},
    {"post_attention_layernorm.bias", "mlp_norm.bias",
     WeightSplit::kReplicated},
};

constexpr Rename kAttentionNames[] = {
    {"query_key_value.weight", "attention.qkv.weight", WeightSplit::kQkv},
    {"query_key_value.bias", "attention.qkv.bias", WeightSplit::kQkv},
    {"query.weight", "attention.query.weight", WeightSplit::kQuery},
    {"query.bias", "attention.query.bias", WeightSplit::kQuery},
    {"key_value.weight", "attention.key_value.weight", WeightSplit::kKeyValue},
    {"key_value.bias", "attention.key_value.bias", WeightSplit::kKeyValue},
    {"dense.weight", "attention.out.weight", WeightSplit::kColumns},
    {"dense.bias", "attention.out.bias", WeightSplit::kReplicated},
};

constexpr Rename kMlpNames[] = {
    {"dense_h_to_4h.weight", "up.weight", WeightSplit::kUp},
    {"dense_h_to_4h.bias", "up.bias", WeightSplit::kUp},
    {"dense_4h_to_h.weight", "down.weight", WeightSplit::kColumns},
    {"dense_4h_to_h.bias", "down.bias", WeightSplit::kReplicated},
};

constexpr Rename kMoeNames[] = {
    {"gate.wg.weight", "moe.gate.weight", WeightSplit::kReplicated},
    {"coefficient.weight", "moe.coefficient.weight", WeightSplit::kReplicated},
    {"coefficient.bias", "moe.coefficient.bias", WeightSplit::kReplicated},
};

template <size_t N>
bool Find(const Rename (&names)[N], absl::string_view key,
          const std::string& prefix, MegatronKey* parsed) {
  for (const Rename& rename : names) {
    if (rename.from == key) {
      parsed->name = absl::StrCat(prefix, rename.to);
      parsed->split = rename.split;
      return true;
    }
  }
  return false;
}

// The key of that name, or "".
template <size_t N>
absl::string_view FindKey(const Rename (&names)[N], absl::string_view name) {
  for (const Rename& rename : names) {
    if (rename.to == name) return rename.from;
  }
  return "";
}

// The part after "layers.{i}.mlp.".
bool ParseMlpKey(absl::string_view key, MegatronKey* parsed) {
  const std::string prefix = LayerPrefix(parsed->layer);
  const std::string mlp = prefix + "mlp.";
  if (Find(kMlpNames, key, mlp, parsed)) return true;     // a dense layer
  if (Find(kMoeNames, key, prefix, parsed)) return true;  // the coefficient
  absl::string_view rest = key;
  if (absl::ConsumePrefix(&rest, "mlp.")) {  // the residual MLP
    return Find(kMlpNames, rest, mlp, parsed);
  }
  parsed->is_local_moe = absl::ConsumePrefix(&rest, "moe.");
  if (!absl::ConsumePrefix(&rest, "deepspeed_moe.")) return false;
  if (!absl::ConsumePrefix(&rest, "experts.deepspeed_experts.")) {
    return Find(kMoeNames, rest, prefix, parsed);
  }
  return ConsumeIndex(&rest, &parsed->expert) &&
         Find(kMlpNames, rest, ExpertPrefix(parsed->layer, parsed->expert),
              parsed);
}

}  // namespace

std::string LayerPrefix(int64_t layer) {
  return absl::StrCat("layers.", layer, ".");
}

std::string ExpertPrefix(int64_t layer, int64_t expert) {
  return absl::StrCat("layers.", layer, ".experts.", expert, ".");
}

std::vector<WeightSpec> ListWeights(const ModelConfig& config) {
  const int64_t hidden = config.hidden_size;
  WeightList weights(config);
  weights.Add("embedding.weight", {config.padded_vocab_size, hidden});
  if (config.learned_positions) {
    weights.Add("position_embedding.weight", {config.max_positions, hidden});
  }
  for (int64_t l = 0; l < config.num_layers(); ++l) {
    const std::string prefix = LayerPrefix(l);
    const LayerConfig& layer = config.layers[l];
    const AttentionConfig& attention = layer.attention;
    weights.AddNorm(prefix + "attention_norm", layer.attention_norm);
    weights.AddLinear(prefix + "attention.qkv", attention.qkv_rows(), hidden,
                      attention.has_bias);
    weights.AddLinear(prefix + "attention.out", hidden, attention.query_rows(),
                      attention.has_bias);
    weights.AddNorm(prefix + "mlp_norm", layer.mlp_norm);
    if (layer.has_shared_mlp()) {
      weights.AddMlp(prefix + "mlp.", layer.any_mlp());
    }
    if (layer.is_moe()) AddMoe(config, l, weights);
  }
  weights.AddNorm("final_norm", config.final_norm);
  if (!config.tied_embeddings) {
    weights.Add("output.weight", {config.padded_vocab_size, hidden});
  }
  return weights.Take();
}

bool ParseMegatronKey(absl::string_view key, MegatronKey* parsed) {
  *parsed = MegatronKey();
  while (absl::ConsumePrefix(&key, "module.")) {
  }
  absl::ConsumePrefix(&key, "language_model.");
  std::string renamed;
  if (absl::ConsumePrefix(&key, "transformer.") ||
      absl::ConsumePrefix(&key, "transformer")) {
    renamed = absl::StrCat("encoder.", key);
    key = renamed;
  }
  if (Find(kModelNames, key, "", parsed)) return true;
  if (!absl::ConsumePrefix(&key, "encoder.layers.") &&
      !absl::ConsumePrefix(&key, "encoderlayers.")) {
    return false;
  }
  if (!ConsumeIndex(&key, &parsed->layer)) return false;
  const std::string prefix = LayerPrefix(parsed->layer);
  if (Find(kLayerNames, key, prefix, parsed)) return true;
  if (absl::ConsumePrefix(&key, "self_attention.") ||
      absl::ConsumePrefix(&key, "attention.")) {
    return Find(kAttentionNames, key, prefix, parsed);
  }
  return absl::ConsumePrefix(&key, "mlp.") && ParseMlpKey(key, parsed);
}

std::string MegatronKeyOf(const std::string& name, bool dense_layer,
                          bool local_moe) {
  if (absl::string_view key = FindKey(kModelNames, name); !key.empty()) {
    return std::string(key);
  }
  absl::string_view rest = name;
  int64_t layer, expert;
  if (!absl::ConsumePrefix(&rest, "layers.") || !ConsumeIndex(&rest, &layer)) {
    return "";
  }
  const std::string prefix = absl::StrCat("encoder.layers.", layer, ".");
  if (absl::string_view key = FindKey(kLayerNames, rest); !key.empty()) {
    return absl::StrCat(prefix, key);
  }
  if (absl::string_view key = FindKey(kAttentionNames, rest); !key.empty()) {
    return absl::StrCat(prefix, "self_attention.", key);
  }
  const absl::string_view moe =
      local_moe ? "mlp.moe.deepspeed_moe." : "mlp.deepspeed_moe.";
  if (absl::string_view key = FindKey(kMoeNames, rest); !key.empty()) {
    const bool is_gate = rest == "moe.gate.weight";
    return absl::StrCat(prefix, is_gate ? moe : "mlp.", key);
  }
  std::string middle;
  if (absl::ConsumePrefix(&rest, "mlp.")) {
    middle = dense_layer ? "mlp." : "mlp.mlp.";
  } else if (absl::ConsumePrefix(&rest, "experts.") &&
             ConsumeIndex(&rest, &expert)) {
    middle = absl::StrCat(moe, "experts.deepspeed_experts.", expert, ".");
  } else {
    return "";
  }
  const absl::string_view key = FindKey(kMlpNames, rest);
  return key.empty() ? "" : absl::StrCat(prefix, middle, key);
}

}  // namespace moe
