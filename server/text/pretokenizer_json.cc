#include "server/text/pretokenizer_json.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr char kPath[] = "pre_tokenizer";

absl::StatusOr<SplitBehavior> ParseBehavior(const Json& json,
                                            const char* fallback) {
  ASSIGN_OR_RETURN(const std::string name,
                   GetStringOr(json, kPath, "behavior", fallback));
  if (name == "Isolated") return SplitBehavior::kIsolated;
  if (name == "Removed") return SplitBehavior::kRemoved;
  if (name == "MergedWithPrevious") return SplitBehavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return SplitBehavior::kMergedWithNext;
  if (name == "Contiguous") return SplitBehavior::kContiguous;
  return absl::InvalidArgumentError(
      absl::StrCat("pre_tokenizer.behavior \"", name, "\" is unknown"));
}

absl::StatusOr<SplitStep> ParseSplit(const Json& json) {
  const Json& pattern = Field(json, "pattern");
  std::vector<SplitPattern> parsed;
  if (!Field(pattern, "Regex").is_null()) {
    ASSIGN_OR_RETURN(const std::string regex,
                     GetString(pattern, "pre_tokenizer.pattern", "Regex"));
    ASSIGN_OR_RETURN(SplitPattern split, SplitPattern::CreateRegex(regex));
    parsed.push_back(std::move(split));
  } else {
    ASSIGN_OR_RETURN(const std::string text,
                     GetString(pattern, "pre_tokenizer.pattern", "String"));
    ASSIGN_OR_RETURN(SplitPattern split, SplitPattern::CreateLiteral(text));
    parsed.push_back(std::move(split));
  }
  ASSIGN_OR_RETURN(const SplitBehavior behavior, ParseBehavior(json, ""));
  ASSIGN_OR_RETURN(const bool invert, GetBoolOr(json, kPath, "invert", false));
  return SplitStep{std::move(parsed.front()), behavior, invert};
}

absl::StatusOr<SplitStep> ParseDigits(const Json& json) {
  ASSIGN_OR_RETURN(const bool individual,
                   GetBoolOr(json, kPath, "individual_digits", false));
  ASSIGN_OR_RETURN(SplitPattern split, SplitPattern::CreateRegex("\\p{N}"));
  return SplitStep{
      std::move(split),
      individual ? SplitBehavior::kIsolated : SplitBehavior::kContiguous,
      false};
}

absl::StatusOr<SplitStep> ParsePunctuation(const Json& json) {
  ASSIGN_OR_RETURN(const SplitBehavior behavior,
                   ParseBehavior(json, "Isolated"));
  // ASCII punctuation also includes symbols.
  ASSIGN_OR_RETURN(SplitPattern split,
                   SplitPattern::CreateRegex("[\\p{P}$+<=>^`|~]"));
  return SplitStep{std::move(split), behavior, false};
}

absl::Status Unsupported(absl::string_view type, absl::string_view why) {
  return absl::UnimplementedError(
      absl::StrCat("pre_tokenizer ", type, " is not supported", why));
}

absl::Status ParseStep(const Json& json, bool is_last, PretokenizerSpec* spec) {
  ASSIGN_OR_RETURN(const std::string type, GetString(json, kPath, "type"));
  if (type == "ByteLevel") {
    if (!is_last) return Unsupported(type, " before other steps");
    ASSIGN_OR_RETURN(spec->add_prefix_space,
                     GetBoolOr(json, kPath, "add_prefix_space", true));
    ASSIGN_OR_RETURN(spec->use_gpt2_pattern,
                     GetBoolOr(json, kPath, "use_regex", true));
    return absl::OkStatus();
  }
  if (is_last) return Unsupported(type, " as the last step; ByteLevel is");
  if (type == "Split") {
    ASSIGN_OR_RETURN(SplitStep step, ParseSplit(json));
    spec->steps.push_back(std::move(step));
  } else if (type == "Digits") {
    ASSIGN_OR_RETURN(SplitStep step, ParseDigits(json));
    spec->steps.push_back(std::move(step));
  } else if (type == "Punctuation") {
    ASSIGN_OR_RETURN(SplitStep step, ParsePunctuation(json));
    spec->steps.push_back(std::move(step));
  } else {
    return Unsupported(type, "");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PretokenizerSpec> ParsePretokenizer(const Json& json) {
  if (json.is_null()) {
    return absl::UnimplementedError(
        "a file without pre_tokenizer is not byte-level BPE; others are not "
        "supported");
  }
  PretokenizerSpec spec;
  ASSIGN_OR_RETURN(const std::string type, GetString(json, kPath, "type"));
  if (type != "Sequence") {
    RETURN_IF_ERROR(ParseStep(json, /*is_last=*/true, &spec));
    return spec;
  }
  ASSIGN_OR_RETURN(const Json* list, GetArray(json, kPath, "pretokenizers"));
  if (list->empty()) return Unsupported(type, " when empty");
  for (const Json& step : *list) {
    RETURN_IF_ERROR(ParseStep(step, &step == &list->back(), &spec));
  }
  return spec;
}

}  // namespace moe
