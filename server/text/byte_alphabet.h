#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace moe {

// Byte-level vocabularies write each byte as one printable character: bytes
// that are printable in Latin-1 as themselves, the other 68 as U+0100, U+0101,
// ... in order (GPT-2, bytes_to_unicode).

// The character for `byte`.
char32_t ByteToAlphabet(uint8_t byte);

// The bytes of `text`; nullopt if a character is outside the alphabet.
std::optional<std::string> AlphabetToBytes(absl::string_view text);

}  // namespace moe
