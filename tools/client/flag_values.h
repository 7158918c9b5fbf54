#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace moe::client {

// Values of flags with lists. Errors are kInvalidArgument and name the flag and
// the item.

// "1, 2,3"; empty text is an empty list.
absl::StatusOr<std::vector<uint32_t>> ParseIds(absl::string_view flag,
                                               absl::string_view text);

// "1:0.5,2:-100".
absl::StatusOr<std::vector<std::pair<uint32_t, float>>> ParseBiases(
    absl::string_view flag, absl::string_view text);

// One string with C escapes (\n), or a JSON array of strings.
absl::StatusOr<std::vector<std::string>> ParseStrings(absl::string_view flag,
                                                      absl::string_view text);

}  // namespace moe::client
