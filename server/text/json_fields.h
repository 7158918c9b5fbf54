#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "nlohmann/json.hpp"

namespace moe {

using Json = nlohmann::json;

// Access to parsed JSON that returns a Status where nlohmann would throw.
// `path` names the object in messages: "model" and "type" give "model.type".

// kInvalidArgument with the place if `text` is no JSON object.
absl::StatusOr<Json> ParseJsonObject(absl::string_view text);

// The member `name`; a null value if there is none or `object` is no object.
const Json& Field(const Json& object, const char* name);

// kInvalidArgument if the member is missing or of another type.
absl::StatusOr<std::string> GetString(const Json& object,
                                      absl::string_view path, const char* name);
absl::StatusOr<const Json*> GetArray(const Json& object, absl::string_view path,
                                     const char* name);

// `fallback` if the member is missing or null.
absl::StatusOr<std::string> GetStringOr(const Json& object,
                                        absl::string_view path,
                                        const char* name, const char* fallback);
absl::StatusOr<bool> GetBoolOr(const Json& object, absl::string_view path,
                               const char* name, bool fallback);

// `value` as a token id; `field` is its whole name.
absl::StatusOr<int32_t> ToId(const Json& value, absl::string_view field);

}  // namespace moe
