#include "server/text/post_processor_json.h"

#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr char kPath[] = "post_processor";

// The ids of the name in special_tokens.
absl::StatusOr<std::vector<int32_t>> FindIds(const Json& json,
                                             const std::string& name) {
  const std::string field =
      absl::StrCat(kPath, ".special_tokens[\"", name, "\"]");
  const Json& entry = Field(Field(json, "special_tokens"), name.c_str());
  ASSIGN_OR_RETURN(const Json* list, GetArray(entry, field, "ids"));
  std::vector<int32_t> ids;
  for (const Json& value : *list) {
    ASSIGN_OR_RETURN(const int32_t id, ToId(value, field));
    ids.push_back(id);
  }
  return ids;
}

absl::Status AddTemplate(const Json& json, PostProcessor* result) {
  ASSIGN_OR_RETURN(const Json* pieces, GetArray(json, kPath, "single"));
  std::vector<int32_t> before;
  std::vector<int32_t> after;
  int num_texts = 0;
  for (const Json& piece : *pieces) {
    if (!Field(piece, "Sequence").is_null()) {
      ++num_texts;
      continue;
    }
    ASSIGN_OR_RETURN(const std::string name,
                     GetString(Field(piece, "SpecialToken"),
                               "post_processor.single.SpecialToken", "id"));
    ASSIGN_OR_RETURN(const std::vector<int32_t> ids, FindIds(json, name));
    std::vector<int32_t>& side = num_texts == 0 ? before : after;
    side.insert(side.end(), ids.begin(), ids.end());
  }
  if (num_texts != 1) {
    return absl::UnimplementedError(
        absl::StrCat("post_processor.single with the text ", num_texts,
                     " times is not supported"));
  }
  // A later processor of a Sequence adds outside the ids of earlier ones.
  before.insert(before.end(), result->prefix_ids.begin(),
                result->prefix_ids.end());
  result->prefix_ids = std::move(before);
  result->suffix_ids.insert(result->suffix_ids.end(), after.begin(),
                            after.end());
  return absl::OkStatus();
}

// BertProcessing and RobertaProcessing: "cls" before, "sep" after the text.
absl::Status AddClsAndSep(const Json& json, PostProcessor* result) {
  for (const char* name : {"cls", "sep"}) {
    ASSIGN_OR_RETURN(const Json* pair, GetArray(json, kPath, name));
    const std::string field = absl::StrCat(kPath, ".", name);
    if (pair->size() != 2) {
      return absl::InvalidArgumentError(
          absl::StrCat(field, " must be [token, id]"));
    }
    ASSIGN_OR_RETURN(const int32_t id, ToId(pair->back(), field));
    if (field == "post_processor.cls") {
      result->prefix_ids.insert(result->prefix_ids.begin(), id);
    } else {
      result->suffix_ids.push_back(id);
    }
  }
  return absl::OkStatus();
}

absl::Status AddProcessor(const Json& json, bool may_nest,
                          PostProcessor* result) {
  ASSIGN_OR_RETURN(const std::string type, GetString(json, kPath, "type"));
  if (type == "ByteLevel") return absl::OkStatus();
  if (type == "TemplateProcessing") return AddTemplate(json, result);
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    return AddClsAndSep(json, result);
  }
  if (type == "Sequence" && may_nest) {
    ASSIGN_OR_RETURN(const Json* list, GetArray(json, kPath, "processors"));
    for (const Json& processor : *list) {
      RETURN_IF_ERROR(AddProcessor(processor, /*may_nest=*/false, result));
    }
    return absl::OkStatus();
  }
  return absl::UnimplementedError(
      absl::StrCat("post_processor ", type, " is not supported"));
}

}  // namespace

absl::StatusOr<PostProcessor> ParsePostProcessor(const Json& json) {
  PostProcessor result;
  if (json.is_null()) return result;
  RETURN_IF_ERROR(AddProcessor(json, /*may_nest=*/true, &result));
  return result;
}

}  // namespace moe
