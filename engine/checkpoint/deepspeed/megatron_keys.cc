#include "engine/checkpoint/deepspeed/megatron_keys.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/config/weight_inventory.h"

namespace moe {
namespace {

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
