#include "server/text/utf8.h"

namespace moe {

Utf8Unit NextUtf8Unit(absl::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {Utf8Unit::kCharacter, 1, lead};

  size_t length;
  char32_t code_point;
  // After some first bytes the second one has a narrower range, which excludes
  // overlong forms, surrogates and values above U+10FFFF.
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
    code_point = lead & 0x1F;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    code_point = lead & 0x0F;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    code_point = lead & 0x07;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return {Utf8Unit::kInvalid, 1, 0};
  }
  for (size_t i = 1; i < length; ++i) {
    if (i == text.size()) return {Utf8Unit::kIncomplete, i, 0};
    if (byte(i) < low || byte(i) > high) return {Utf8Unit::kInvalid, i, 0};
    low = 0x80;
    high = 0xBF;
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  return {Utf8Unit::kCharacter, length, code_point};
}

size_t FindInvalidUtf8(absl::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const Utf8Unit unit = NextUtf8Unit(text.substr(i));
    if (unit.kind != Utf8Unit::kCharacter) return i;
    i += unit.num_bytes;
  }
  return absl::string_view::npos;
}

std::string ReplaceInvalidUtf8(absl::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const Utf8Unit unit = NextUtf8Unit(text);
    const absl::string_view piece = unit.kind == Utf8Unit::kCharacter
                                        ? text.substr(0, unit.num_bytes)
                                        : kReplacementCharacter;
    result.append(piece.data(), piece.size());
    text.remove_prefix(unit.num_bytes);
  }
  return result;
}

void AppendUtf8(char32_t c, std::string* text) {
  const auto put = [text](char32_t byte) {
    text->push_back(static_cast<char>(byte));
  };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6);
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

}  // namespace moe
