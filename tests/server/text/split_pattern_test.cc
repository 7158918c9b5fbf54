#include "server/text/split_pattern.h"

#include <chrono>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

// The pieces of `text`, matches in brackets.
std::string Show(const SplitPattern& pattern, const std::string& text) {
  std::vector<PatternSpan> spans;
  const absl::Status status =
      pattern.Split(text, 0, static_cast<int64_t>(text.size()), &spans);
  EXPECT_TRUE(status.ok()) << status;
  std::string shown;
  for (const PatternSpan& span : spans) {
    const std::string piece = text.substr(span.begin, span.end - span.begin);
    shown += span.matched ? "[" + piece + "]" : piece;
  }
  return shown;
}

SplitPattern Regex(const std::string& regex) {
  auto pattern = SplitPattern::CreateRegex(regex);
  EXPECT_TRUE(pattern.ok()) << pattern.status();
  return *std::move(pattern);
}

TEST(SplitPatternTest, MatchesAndWhatLiesBetweenCoverTheText) {
  EXPECT_EQ(Show(Regex("\\p{L}+"), "ab 12 \u00e9\u4f60!"),
            "[ab] 12 [\u00e9\u4f60]!");
  EXPECT_EQ(Show(Regex("x"), ""), "");
  EXPECT_EQ(Show(Regex("x*"), "axxb"), "a[xx]b");  // no empty matches
  EXPECT_EQ(Show(Regex("\\d"), "1\u0661a"), "[1][\u0661]a");
}

TEST(SplitPatternTest, SpaceAndWordAreUnicodesProperties) {
  EXPECT_EQ(Show(Regex("\\s"), "a\u0085b\u180ec\u3000"),
            "a[\u0085]b\u180ec[\u3000]");
  EXPECT_EQ(Show(Regex("[^\\s]+"), "a\u180e b"), "[a\u180e] [b]");
  EXPECT_EQ(Show(Regex("\\w+"), "e\u0301_\u203f \u00bd"),
            "[e\u0301_\u203f] \u00bd");
  EXPECT_EQ(Show(Regex("[\\w-]+"), "a-b c"), "[a-b] [c]");
  EXPECT_EQ(Show(Regex("\\W"), "a-b"), "a[-]b");
}

TEST(SplitPatternTest, ARangeIsSeenAlone) {
  const std::string text = "aa bb";
  std::vector<PatternSpan> spans;
  ASSERT_TRUE(Regex("\\s+(?!\\S)|b").Split(text, 1, 3, &spans).ok());
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[1].begin, 2);
  EXPECT_TRUE(spans[1].matched);
}

TEST(SplitPatternTest, LiteralsAreNotPatterns) {
  const auto pattern = SplitPattern::CreateLiteral("a.\\");
  ASSERT_TRUE(pattern.ok());
  EXPECT_EQ(Show(*pattern, "ab a.\\a."), "ab [a.\\]a.");
}

TEST(SplitPatternTest, WhatMeansSomethingElseInPcreIsUnimplemented) {
  for (const char* regex :
       {"\\h", "[\\h]", "[a&&b]", "[a[bc]]", "[]a]", "(?m)a", "(?<n>a)",
        "\\p{L}{1,3}+", "a{,3}", "\\bword", "[\\W]", "\\X", "\\K"}) {
    EXPECT_EQ(SplitPattern::CreateRegex(regex).status().code(),
              absl::StatusCode::kUnimplemented)
        << regex;
  }
}

TEST(SplitPatternTest, BadPatternsAreInvalid) {
  for (const char* regex : {"", "(", "[a", "\\p{NoSuchProperty}", "a**b(", "\\",
                            "\\p", "\\p{", "(?"}) {
    const absl::StatusCode code =
        SplitPattern::CreateRegex(regex).status().code();
    EXPECT_TRUE(code == absl::StatusCode::kInvalidArgument ||
                code == absl::StatusCode::kUnimplemented)
        << regex;
  }
  EXPECT_EQ(SplitPattern::CreateLiteral("").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(SplitPatternTest, ExponentialMatchingIsCutOff) {
  const SplitPattern pattern = Regex("(?:a+)+[bc]");
  const std::string text(64, 'a');
  std::vector<PatternSpan> spans;
  const auto start = std::chrono::steady_clock::now();
  const absl::Status status =
      pattern.Split(text, 0, static_cast<int64_t>(text.size()), &spans);
  const std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - start;
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_LT(seconds.count(), 10.0);
}

}  // namespace
}  // namespace moe
