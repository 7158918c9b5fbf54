#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace moe {

// Byte-level vocabularies are written with one printable character a byte:
// bytes that are printable in Latin-1 stand for themselves, the other 68 take
// U+0100, U+0101, ... in order. (GPT-2, bytes_to_unicode)

// The character that stands for `byte`.
char32_t ByteToAlphabet(uint8_t byte);

// The bytes that `text` writes; none if a character is outside the alphabet.
std::optional<std::string> AlphabetToBytes(absl::string_view text);

}  // namespace moe
