#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace moe {

// U+FFFD, which replaces bytes that are not UTF-8.
inline constexpr absl::string_view kReplacementCharacter = "\xEF\xBF\xBD";

struct Utf8Unit {
  enum Kind {
    kCharacter,   // a well-formed character
    kInvalid,     // a maximal ill-formed subpart (Unicode standard, table 3-8)
    kIncomplete,  // the text ends inside a character
  };
  Kind kind;
  size_t num_bytes;
  char32_t code_point;  // kCharacter only
};

// The first unit of `text`, which must not be empty.
Utf8Unit NextUtf8Unit(absl::string_view text);

// The place of the first byte that is not part of a well-formed character;
// npos if `text` is valid UTF-8.
size_t FindInvalidUtf8(absl::string_view text);

// `text` with each maximal ill-formed subpart replaced by one U+FFFD.
std::string ReplaceInvalidUtf8(absl::string_view text);

// Appends `code_point`, which must be a Unicode scalar value.
void AppendUtf8(char32_t code_point, std::string* text);

}  // namespace moe
