#include "server/text/utf8.h"

#include <string>

#include "gtest/gtest.h"

namespace moe {
namespace {

TEST(Utf8Test, EveryScalarValueRoundTrips) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(c, &text);
    const Utf8Unit unit = NextUtf8Unit(text);
    ASSERT_EQ(unit.kind, Utf8Unit::kCharacter);
    ASSERT_EQ(unit.num_bytes, text.size());
    ASSERT_EQ(unit.code_point, c);
    for (size_t cut = 1; cut < text.size(); ++cut) {
      const Utf8Unit part = NextUtf8Unit(text.substr(0, cut));
      ASSERT_EQ(part.kind, Utf8Unit::kIncomplete);
      ASSERT_EQ(part.num_bytes, cut);
    }
  }
}

TEST(Utf8Test, ReplacesMaximalSubparts) {
  // Rows of the Unicode standard's table 3-8 and its neighbours.
  EXPECT_EQ(ReplaceInvalidUtf8(""), "");
  EXPECT_EQ(ReplaceInvalidUtf8("a\xF1\x80\x80\xE1\x80\xC2"
                               "b\x80"
                               "c\x80\xBF"
                               "d"),
            "a\ufffd\ufffd\ufffd"
            "b\ufffd"
            "c\ufffd\ufffd"
            "d");
  EXPECT_EQ(ReplaceInvalidUtf8("\xC0\xAF"), "\ufffd\ufffd");
  EXPECT_EQ(ReplaceInvalidUtf8("\xE0\x80\xAF"), "\ufffd\ufffd\ufffd");
  EXPECT_EQ(ReplaceInvalidUtf8("\xED\xA0\x80"), "\ufffd\ufffd\ufffd");
  EXPECT_EQ(ReplaceInvalidUtf8("\xF4\x91\x92\x93\xFF"
                               "A\x80\xBF"
                               "B"),
            "\ufffd\ufffd\ufffd\ufffd\ufffd"
            "A\ufffd\ufffd"
            "B");
  EXPECT_EQ(ReplaceInvalidUtf8("x\xF0\x9F\x98"), "x\ufffd");
}

TEST(Utf8Test, FindsTheFirstIllFormedByte) {
  EXPECT_EQ(FindInvalidUtf8(""), absl::string_view::npos);
  EXPECT_EQ(FindInvalidUtf8("a\u00e9\U0001f600"), absl::string_view::npos);
  EXPECT_EQ(FindInvalidUtf8("\u00e9\xFF"), 2u);
  EXPECT_EQ(FindInvalidUtf8("ab\xC3"), 2u);
  EXPECT_EQ(FindInvalidUtf8("\xF5"), 0u);
}

}  // namespace
}  // namespace moe
