#include "server/text/stop_strings.h"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

using Strings = std::vector<std::string>;

StopStrings Make(const Strings& stops, bool include_stop = false) {
  auto result = StopStrings::Create(stops, include_stop);
  EXPECT_TRUE(result.ok()) << result.status();
  return *std::move(result);
}

TEST(StopStringsTest, WithoutStopsTextPassesAtOnce) {
  StopStrings stops = Make({});
  EXPECT_EQ(stops.Append("any text"), "any text");
  EXPECT_EQ(stops.Finish(), "");
  EXPECT_EQ(stops.matched(), -1);
}

TEST(StopStringsTest, HoldsBackOnlyWhatMayBecomeAStop) {
  StopStrings stops = Make({"END"});
  EXPECT_EQ(stops.Append("the E"), "the ");
  EXPECT_EQ(stops.Append("N"), "");
  EXPECT_EQ(stops.Append("E"), "EN");
  EXPECT_EQ(stops.Append("n"), "En");
  EXPECT_EQ(stops.Append("EN"), "");
  EXPECT_EQ(stops.Finish(), "EN");
  EXPECT_EQ(stops.matched(), -1);
}

TEST(StopStringsTest, FindsAStopAcrossPieces) {
  for (const bool include : {false, true}) {
    StopStrings stops = Make({"\n\nQ:"}, include);
    EXPECT_EQ(stops.Append("A: yes\n"), "A: yes");
    EXPECT_EQ(stops.Append("\nQ"), "");
    EXPECT_EQ(stops.Append(": more"), include ? "\n\nQ:" : "");
    EXPECT_EQ(stops.matched(), 0);
    EXPECT_EQ(stops.Append("ignored"), "");
    EXPECT_EQ(stops.Finish(), "");
  }
}

TEST(StopStringsTest, TheFirstCompleteStopWinsThenTheLongest) {
  StopStrings first = Make({"abcd", "bc"});
  EXPECT_EQ(first.Append("xabcd"), "xa");
  EXPECT_EQ(first.matched(), 1);
  StopStrings longest = Make({"c", "bc", "abc"});
  EXPECT_EQ(longest.Append("xabcx"), "x");
  EXPECT_EQ(longest.matched(), 2);
  StopStrings equal = Make({"q", "q"});
  equal.Append("q");
  EXPECT_EQ(equal.matched(), 0);
}

TEST(StopStringsTest, HeldTextFallsBackToAShorterPrefix) {
  StopStrings stops = Make({"aab"});
  EXPECT_EQ(stops.Append("aa"), "");
  EXPECT_EQ(stops.Append("a"), "a");
  EXPECT_EQ(stops.Append("b!"), "");
  EXPECT_EQ(stops.matched(), 0);
}

TEST(StopStringsTest, ReturnsWholeCharacters) {
  // The two share their first byte.
  StopStrings stops = Make({"\u00e9"});
  EXPECT_EQ(stops.Append("\u00e8"), "\u00e8");
  EXPECT_EQ(stops.Append("x\u00e9"), "x");
  EXPECT_EQ(stops.matched(), 0);
}

TEST(StopStringsTest, EmptyOrInvalidStopsAreRefused) {
  for (const Strings& bad : {Strings{"ok", ""}, Strings{"ok", "\xFF"}}) {
    const absl::Status status = StopStrings::Create(bad, false).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("stop[1]"), absl::string_view::npos);
  }
}

// The definition in the class comment, implemented by searching the whole text.
std::string NaiveCut(const std::string& text, const Strings& stops,
                     bool include, int64_t* matched) {
  *matched = -1;
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (size_t i = 0; i < stops.size(); ++i) {
      const size_t size = stops[i].size();
      if (size > end || size <= longest) continue;
      if (text.compare(end - size, size, stops[i]) != 0) continue;
      longest = size;
      *matched = static_cast<int64_t>(i);
    }
    if (longest > 0) return text.substr(0, include ? end : end - longest);
  }
  return text;
}

TEST(StopStringsTest, AnyCuttingGivesTheSameTextAsSearchingTheWhole) {
  std::mt19937 random(5);
  int num_matches = 0;
  const auto random_string = [&random](size_t min, size_t max) {
    std::string text(min + random() % (max - min + 1), '\0');
    for (char& c : text) c = static_cast<char>('a' + random() % 3);
    return text;
  };
  for (int round = 0; round < 3000; ++round) {
    Strings list(random() % 5);
    for (std::string& stop : list) stop = random_string(2, 7);
    const std::string text = random_string(0, 40);
    const bool include = random() % 2;
    int64_t matched;
    const std::string expected = NaiveCut(text, list, include, &matched);
    StopStrings stops = Make(list, include);
    std::string shown;
    for (size_t at = 0; at < text.size();) {
      const size_t size = std::min<size_t>(1 + random() % 6, text.size() - at);
      shown += stops.Append(absl::string_view(text).substr(at, size));
      at += size;
    }
    shown += stops.Finish();
    ASSERT_EQ(shown, expected) << testing::PrintToString(list) << text;
    ASSERT_EQ(stops.matched(), matched);
    num_matches += matched >= 0;
  }
  EXPECT_GT(num_matches, 500);
}

}  // namespace
}  // namespace moe
