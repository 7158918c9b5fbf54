#include "server/text/byte_alphabet.h"

#include <array>

#include "server/text/utf8.h"

namespace moe {
namespace {

constexpr int kNumBytes = 256;
constexpr char32_t kAlphabetEnd = 0x100 + 68;

constexpr bool StandsForItself(int byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
}

constexpr std::array<char32_t, kNumBytes> MakeAlphabet() {
  std::array<char32_t, kNumBytes> alphabet{};
  char32_t next = 0x100;
  for (int byte = 0; byte < kNumBytes; ++byte) {
    alphabet[byte] = StandsForItself(byte) ? byte : next++;
  }
  return alphabet;
}

constexpr std::array<char32_t, kNumBytes> kAlphabet = MakeAlphabet();

constexpr std::array<int16_t, kAlphabetEnd> MakeInverse() {
  std::array<int16_t, kAlphabetEnd> inverse{};
  for (int16_t& byte : inverse) byte = -1;
  for (int byte = 0; byte < kNumBytes; ++byte) {
    inverse[kAlphabet[byte]] = static_cast<int16_t>(byte);
  }
  return inverse;
}

constexpr std::array<int16_t, kAlphabetEnd> kInverse = MakeInverse();

}  // namespace

char32_t ByteToAlphabet(uint8_t byte) { return kAlphabet[byte]; }

std::optional<std::string> AlphabetToBytes(absl::string_view text) {
  std::string bytes;
  while (!text.empty()) {
    const Utf8Unit unit = NextUtf8Unit(text);
    if (unit.kind != Utf8Unit::kCharacter || unit.code_point >= kAlphabetEnd ||
        kInverse[unit.code_point] < 0) {
      return std::nullopt;
    }
    bytes.push_back(static_cast<char>(kInverse[unit.code_point]));
    text.remove_prefix(unit.num_bytes);
  }
  return bytes;
}

}  // namespace moe
