#include "server/text/json_fields.h"

#include <limits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace moe {
namespace {

std::string Name(absl::string_view path, const char* name) {
  return path.empty() ? std::string(name) : absl::StrCat(path, ".", name);
}

absl::Status WrongType(absl::string_view path, const char* name,
                       const Json& value, absl::string_view wanted) {
  if (value.is_null()) {
    return absl::InvalidArgumentError(
        absl::StrCat(Name(path, name), " is missing; it must be ", wanted));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      Name(path, name), " must be ", wanted, ", not ", value.type_name()));
}

}  // namespace

absl::StatusOr<Json> ParseJsonObject(absl::string_view text) {
  try {
    Json json = Json::parse(text.begin(), text.end());
    if (json.is_object()) return json;
    return absl::InvalidArgumentError(
        absl::StrCat("JSON must hold an object here, not ", json.type_name()));
  } catch (const Json::parse_error& error) {
    // It wanted to read on after the last byte.
    const bool is_cut = error.byte > text.size();
    return absl::InvalidArgumentError(
        absl::StrCat("not valid JSON: ", error.what(),
                     is_cut ? "; the file is cut short: copy it again" : ""));
  } catch (const Json::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("not valid JSON: ", error.what()));
  }
}

const Json& Field(const Json& object, const char* name) {
  static const Json& missing = *new Json();  // never destroyed
  const auto it = object.find(name);
  return it == object.end() ? missing : *it;
}

absl::StatusOr<std::string> GetString(const Json& object,
                                      absl::string_view path,
                                      const char* name) {
  const Json& value = Field(object, name);
  if (const auto* text = value.get_ptr<const std::string*>()) return *text;
  return WrongType(path, name, value, "a string");
}

absl::StatusOr<const Json*> GetArray(const Json& object, absl::string_view path,
                                     const char* name) {
  const Json& value = Field(object, name);
  if (value.is_array()) return &value;
  return WrongType(path, name, value, "an array");
}

absl::StatusOr<std::string> GetStringOr(const Json& object,
                                        absl::string_view path,
                                        const char* name,
                                        const char* fallback) {
  if (Field(object, name).is_null()) return std::string(fallback);
  return GetString(object, path, name);
}

absl::StatusOr<bool> GetBoolOr(const Json& object, absl::string_view path,
                               const char* name, bool fallback) {
  const Json& value = Field(object, name);
  if (value.is_null()) return fallback;
  if (const auto* flag = value.get_ptr<const bool*>()) return *flag;
  return WrongType(path, name, value, "a boolean");
}

absl::StatusOr<int32_t> ToId(const Json& value, absl::string_view field) {
  if (value.is_number_integer()) {
    // A huge unsigned number would wrap around; it is invalid, too.
    const int64_t id = value.get<int64_t>();
    if (id >= 0 && id <= std::numeric_limits<int32_t>::max()) {
      return static_cast<int32_t>(id);
    }
  }
  return absl::InvalidArgumentError(absl::StrCat(
      field, " is ", value.dump(-1, ' ', false, Json::error_handler_t::replace),
      ", not a token id"));
}

}  // namespace moe
