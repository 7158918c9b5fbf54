#include "server/text/tokenizer_json.h"

#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kernels/core/status_macros.h"
#include "nlohmann/json.hpp"
#include "server/text/post_processor_json.h"
#include "server/text/pretokenizer_json.h"

namespace moe {
namespace {

constexpr absl::string_view kEndOfText = "<|endoftext|>";

absl::Status Unsupported(absl::string_view field, const Json& value) {
  return absl::UnimplementedError(
      absl::StrCat(field, " ", value.dump(), " is not supported"));
}

absl::StatusOr<NormalizationForm> ParseNormalizer(const Json& normalizer) {
  if (normalizer.is_null()) return NormalizationForm::kNone;
  ASSIGN_OR_RETURN(const std::string type,
                   GetString(normalizer, "normalizer", "type"));
  if (type == "NFC") return NormalizationForm::kNfc;
  if (type == "NFD") return NormalizationForm::kNfd;
  if (type == "NFKC") return NormalizationForm::kNfkc;
  if (type == "NFKD") return NormalizationForm::kNfkd;
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const Json* list,
                     GetArray(normalizer, "normalizer", "normalizers"));
    if (list->empty()) return NormalizationForm::kNone;
    if (list->size() == 1) return ParseNormalizer(list->front());
    return absl::UnimplementedError(absl::StrCat(
        "normalizer Sequence of ", list->size(), " is not supported"));
  }
  return absl::UnimplementedError(
      absl::StrCat("normalizer ", type, " is not supported"));
}

absl::Status CheckDecoder(const Json& decoder) {
  if (decoder.is_null()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string type,
                   GetString(decoder, "decoder", "type"));
  if (type == "ByteLevel") return absl::OkStatus();
  if (type == "Sequence") {
    ASSIGN_OR_RETURN(const Json* list,
                     GetArray(decoder, "decoder", "decoders"));
    if (list->size() == 1) return CheckDecoder(list->front());
    return absl::UnimplementedError(absl::StrCat(
        "decoder Sequence of ", list->size(), " is not supported"));
  }
  return absl::UnimplementedError(
      absl::StrCat("decoder ", type, " is not supported"));
}

absl::StatusOr<std::vector<std::pair<std::string, int32_t>>> ParseVocab(
    const Json& vocab, absl::string_view field) {
  if (!vocab.is_object()) {
    return absl::InvalidArgumentError(
        absl::StrCat(field, " must be an object of token to id"));
  }
  std::vector<std::pair<std::string, int32_t>> result;
  result.reserve(vocab.size());
  for (const auto& [entry, id] : vocab.items()) {
    ASSIGN_OR_RETURN(const int32_t value,
                     ToId(id, absl::StrCat(field, "[\"", entry, "\"]")));
    result.emplace_back(entry, value);
  }
  return result;
}

absl::StatusOr<std::pair<std::string, std::string>> ParseMerge(
    const Json& merge, size_t rank) {
  if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
      merge[1].is_string()) {
    return std::make_pair(merge[0].get_ref<const std::string&>(),
                          merge[1].get_ref<const std::string&>());
  }
  if (merge.is_string()) {
    const std::string& text = merge.get_ref<const std::string&>();
    const size_t space = text.find(' ');
    if (space != std::string::npos && space > 0 && space + 1 < text.size() &&
        text.find(' ', space + 1) == std::string::npos) {
      return std::make_pair(text.substr(0, space), text.substr(space + 1));
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("model.merges[", rank, "] is ", merge.dump(),
                   ", not \"a b\" or [\"a\", \"b\"]"));
}

absl::StatusOr<BpeModelSpec> ParseModel(const Json& model) {
  if (!model.is_object()) {
    return absl::InvalidArgumentError("model must be an object");
  }
  // Old files have no type; a model with merges is BPE.
  ASSIGN_OR_RETURN(const std::string type,
                   GetStringOr(model, "model", "type", "BPE"));
  if (type != "BPE") {
    return absl::UnimplementedError(
        absl::StrCat("model ", type, " is not supported; BPE is"));
  }
  for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    const Json& value = Field(model, name);
    if (!value.is_null() && value != Json("")) {
      return Unsupported(absl::StrCat("model.", name), value);
    }
  }
  const Json& dropout = Field(model, "dropout");
  if (!dropout.is_null() && dropout != 0.0) {
    return Unsupported("model.dropout", dropout);
  }
  ASSIGN_OR_RETURN(const bool byte_fallback,
                   GetBoolOr(model, "model", "byte_fallback", false));
  if (byte_fallback) {
    return Unsupported("model.byte_fallback", Field(model, "byte_fallback"));
  }
  BpeModelSpec spec;
  ASSIGN_OR_RETURN(spec.ignore_merges,
                   GetBoolOr(model, "model", "ignore_merges", false));
  ASSIGN_OR_RETURN(spec.fuse_unk, GetBoolOr(model, "model", "fuse_unk", false));
  if (!Field(model, "unk_token").is_null()) {
    ASSIGN_OR_RETURN(spec.unk_token, GetString(model, "model", "unk_token"));
  }
  ASSIGN_OR_RETURN(spec.vocab,
                   ParseVocab(Field(model, "vocab"), "model.vocab"));
  ASSIGN_OR_RETURN(const Json* merges, GetArray(model, "model", "merges"));
  spec.merges.reserve(merges->size());
  for (const Json& merge : *merges) {
    ASSIGN_OR_RETURN(auto pair, ParseMerge(merge, spec.merges.size()));
    spec.merges.push_back(std::move(pair));
  }
  return spec;
}

absl::StatusOr<AddedToken> ParseAddedToken(const Json& json, size_t index) {
  const std::string field = absl::StrCat("added_tokens[", index, "]");
  AddedToken token;
  ASSIGN_OR_RETURN(token.id,
                   ToId(Field(json, "id"), absl::StrCat(field, ".id")));
  ASSIGN_OR_RETURN(token.content, GetString(json, field, "content"));
  ASSIGN_OR_RETURN(token.single_word,
                   GetBoolOr(json, field, "single_word", false));
  ASSIGN_OR_RETURN(token.lstrip, GetBoolOr(json, field, "lstrip", false));
  ASSIGN_OR_RETURN(token.rstrip, GetBoolOr(json, field, "rstrip", false));
  ASSIGN_OR_RETURN(token.special, GetBoolOr(json, field, "special", false));
  ASSIGN_OR_RETURN(token.normalized,
                   GetBoolOr(json, field, "normalized", !token.special));
  return token;
}

}  // namespace

absl::StatusOr<BpeTokenizerSpec> ParseTokenizerJson(absl::string_view text) {
  ASSIGN_OR_RETURN(const Json json, ParseJsonObject(text));
  BpeTokenizerSpec spec;
  ASSIGN_OR_RETURN(spec.model, ParseModel(Field(json, "model")));
  ASSIGN_OR_RETURN(spec.normalization,
                   ParseNormalizer(Field(json, "normalizer")));
  ASSIGN_OR_RETURN(spec.pretokenizer,
                   ParsePretokenizer(Field(json, "pre_tokenizer")));
  RETURN_IF_ERROR(CheckDecoder(Field(json, "decoder")));
  ASSIGN_OR_RETURN(PostProcessor post_processor,
                   ParsePostProcessor(Field(json, "post_processor")));
  spec.prefix_ids = std::move(post_processor.prefix_ids);
  spec.suffix_ids = std::move(post_processor.suffix_ids);
  if (!Field(json, "added_tokens").is_null()) {
    ASSIGN_OR_RETURN(const Json* tokens, GetArray(json, "", "added_tokens"));
    for (const Json& token : *tokens) {
      ASSIGN_OR_RETURN(AddedToken added,
                       ParseAddedToken(token, spec.added_tokens.size()));
      spec.added_tokens.push_back(std::move(added));
    }
  }
  return spec;
}

absl::StatusOr<BpeTokenizerSpec> ParseGpt2Files(absl::string_view vocab_json,
                                                absl::string_view merges_txt) {
  ASSIGN_OR_RETURN(const Json vocab, ParseJsonObject(vocab_json));
  BpeTokenizerSpec spec;
  ASSIGN_OR_RETURN(spec.model.vocab, ParseVocab(vocab, "vocab"));
  const std::vector<std::string> lines = absl::StrSplit(merges_txt, '\n');
  for (size_t i = 0; i < lines.size(); ++i) {
    std::string line = lines[i];
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty() || (i == 0 && line.rfind("#version", 0) == 0)) continue;
    const size_t space = line.find(' ');
    if (space == std::string::npos || space == 0 || space + 1 == line.size() ||
        line.find(' ', space + 1) != std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("line ", i + 1, " is \"", line, "\", not \"a b\""));
    }
    spec.model.merges.emplace_back(line.substr(0, space),
                                   line.substr(space + 1));
  }
  for (const auto& [entry, id] : spec.model.vocab) {
    if (entry != kEndOfText) continue;
    AddedToken token;
    token.content = entry;
    token.id = id;
    token.normalized = false;
    token.special = true;
    spec.added_tokens.push_back(std::move(token));
    spec.eos_ids.push_back(id);
  }
  return spec;
}

absl::StatusOr<EndOfText> ParseEndOfText(absl::string_view config_json) {
  ASSIGN_OR_RETURN(const Json json, ParseJsonObject(config_json));
  EndOfText result;
  const Json& token = Field(json, "eos_token");
  if (token.is_object()) {
    ASSIGN_OR_RETURN(result.token, GetString(token, "eos_token", "content"));
  } else if (!token.is_null()) {
    ASSIGN_OR_RETURN(result.token, GetString(json, "", "eos_token"));
  }
  const Json& ids = Field(json, "eos_token_id");
  if (ids.is_array()) {
    for (const Json& id : ids) {
      ASSIGN_OR_RETURN(const int32_t value, ToId(id, "eos_token_id"));
      result.ids.push_back(value);
    }
  } else if (!ids.is_null()) {
    ASSIGN_OR_RETURN(const int32_t value, ToId(ids, "eos_token_id"));
    result.ids.push_back(value);
  }
  return result;
}

}  // namespace moe
