#include "server/text/byte_alphabet.h"

#include <set>
#include <string>

#include "gtest/gtest.h"
#include "server/text/utf8.h"

namespace moe {
namespace {

TEST(ByteAlphabetTest, KnownCharacters) {
  EXPECT_EQ(ByteToAlphabet('A'), U'A');
  EXPECT_EQ(ByteToAlphabet(' '), U'\u0120');
  EXPECT_EQ(ByteToAlphabet('\n'), U'\u010A');
  EXPECT_EQ(ByteToAlphabet(0x00), U'\u0100');
  EXPECT_EQ(ByteToAlphabet(0x7F), U'\u0121');
  EXPECT_EQ(ByteToAlphabet(0xAD), U'\u0143');
  EXPECT_EQ(ByteToAlphabet(0xFF), U'\u00FF');
}

TEST(ByteAlphabetTest, IsOneToOne) {
  std::set<char32_t> seen;
  for (int byte = 0; byte < 256; ++byte) {
    const char32_t c = ByteToAlphabet(static_cast<uint8_t>(byte));
    EXPECT_TRUE(seen.insert(c).second) << byte;
    std::string text;
    AppendUtf8(c, &text);
    EXPECT_EQ(AlphabetToBytes(text), std::string(1, static_cast<char>(byte)));
  }
}

TEST(ByteAlphabetTest, OtherCharactersAreNoBytes) {
  EXPECT_EQ(AlphabetToBytes(""), "");
  for (const char* text : {" ", "a b", "\n", "\u0144", "\u4f60", "\xFF", "\xC4",
                           "\u007f", "\u00ad"}) {
    EXPECT_FALSE(AlphabetToBytes(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace moe
