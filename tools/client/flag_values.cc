#include "tools/client/flag_values.h"

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"

namespace moe::client {
namespace {

absl::Status Wrong(absl::string_view flag, absl::string_view item,
                   absl::string_view wanted) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, ": \"", item, "\" is not ", wanted));
}

}  // namespace

absl::StatusOr<std::vector<uint32_t>> ParseIds(absl::string_view flag,
                                               absl::string_view text) {
  std::vector<uint32_t> ids;
  if (absl::StripAsciiWhitespace(text).empty()) return ids;
  for (const absl::string_view item : absl::StrSplit(text, ',')) {
    uint32_t id = 0;
    if (!absl::SimpleAtoi(item, &id)) return Wrong(flag, item, "a token id");
    ids.push_back(id);
  }
  return ids;
}

absl::StatusOr<std::vector<std::pair<uint32_t, float>>> ParseBiases(
    absl::string_view flag, absl::string_view text) {
  std::vector<std::pair<uint32_t, float>> biases;
  if (absl::StripAsciiWhitespace(text).empty()) return biases;
  for (const absl::string_view item : absl::StrSplit(text, ',')) {
    const std::vector<absl::string_view> parts = absl::StrSplit(item, ':');
    uint32_t id = 0;
    float bias = 0;
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &id) ||
        !absl::SimpleAtof(parts[1], &bias)) {
      return Wrong(flag, item, "a token id and a number, as in 42:-1.5");
    }
    biases.emplace_back(id, bias);
  }
  return biases;
}

absl::StatusOr<std::vector<std::string>> ParseStrings(absl::string_view flag,
                                                      absl::string_view text) {
  std::vector<std::string> strings;
  if (text.empty()) return strings;
  if (text.front() != '[') {
    std::string value;
    std::string error;
    if (!absl::CUnescape(text, &value, &error)) {
      return Wrong(flag, text, absl::StrCat("a C-escaped string: ", error));
    }
    strings.push_back(std::move(value));
    return strings;
  }
  const nlohmann::json list = nlohmann::json::parse(
      text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
  if (!list.is_array()) return Wrong(flag, text, "a JSON array of strings");
  for (const nlohmann::json& item : list) {
    const auto* value = item.get_ptr<const std::string*>();
    if (value == nullptr) {
      return Wrong(flag, item.dump(), "a JSON string");
    }
    strings.push_back(*value);
  }
  return strings;
}

}  // namespace moe::client
