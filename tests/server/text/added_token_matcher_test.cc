#include "server/text/added_token_matcher.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace moe {
namespace {

// The segments of `text`, tokens as <id>(text).
std::string Show(const AddedTokenMatcher& matcher, const std::string& text,
                 bool parse_special = true) {
  std::string shown;
  int64_t at = 0;
  for (const TextSegment& segment : matcher.Split(text, parse_special)) {
    EXPECT_EQ(segment.begin, at);
    EXPECT_LT(segment.begin, segment.end);
    at = segment.end;
    const std::string piece =
        text.substr(segment.begin, segment.end - segment.begin);
    shown += segment.id < 0
                 ? piece
                 : "<" + std::to_string(segment.id) + ">(" + piece + ")";
  }
  EXPECT_EQ(at, static_cast<int64_t>(text.size()));
  return shown;
}

TEST(AddedTokenMatcherTest, LeftmostThenLongest) {
  const AddedTokenMatcher matcher({{.content = "ab", .id = 1},
                                   {.content = "abcd", .id = 2},
                                   {.content = "bcde", .id = 3}});
  EXPECT_EQ(Show(matcher, ""), "");
  EXPECT_EQ(Show(matcher, "xabcdex"), "x<2>(abcd)ex");
  EXPECT_EQ(Show(matcher, "abcab"), "<1>(ab)c<1>(ab)");
  EXPECT_EQ(Show(matcher, "a"), "a");
}

TEST(AddedTokenMatcherTest, StripTakesWhiteSpaceOnce) {
  const AddedTokenMatcher matcher({{.content = "L", .id = 1, .lstrip = true},
                                   {.content = "R", .id = 2, .rstrip = true}});
  EXPECT_EQ(Show(matcher, "a \n\u00a0L b"), "a<1>( \n\u00a0L) b");
  EXPECT_EQ(Show(matcher, "a R \u3000b"), "a <2>(R \u3000)b");
  EXPECT_EQ(Show(matcher, "R  L"), "<2>(R  )<1>(L)");
}

TEST(AddedTokenMatcherTest, SingleWordsTouchNoWordCharacters) {
  const AddedTokenMatcher matcher(
      {{.content = "w", .id = 1, .single_word = true}});
  EXPECT_EQ(Show(matcher, "w"), "<1>(w)");
  EXPECT_EQ(Show(matcher, "(w)-w"), "(<1>(w))-<1>(w)");
  for (const char* text : {"xw", "wx", "w_", "\u00e9w", "w\u0301", "ww"}) {
    EXPECT_EQ(Show(matcher, text), text);
  }
}

TEST(AddedTokenMatcherTest, SpecialTokensMayBeText) {
  const AddedTokenMatcher matcher({{.content = "<s>", .id = 1, .special = true},
                                   {.content = "<t>", .id = 2}});
  EXPECT_EQ(Show(matcher, "<s><t>"), "<1>(<s>)<2>(<t>)");
  EXPECT_EQ(Show(matcher, "<s><t>", false), "<s><2>(<t>)");
}

}  // namespace
}  // namespace moe
