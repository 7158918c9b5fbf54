#include "tools/client/flag_values.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace moe::client {
namespace {

using Strings = std::vector<std::string>;

TEST(FlagValuesTest, IdsAreSeparatedByCommas) {
  EXPECT_EQ(*ParseIds("f", ""), std::vector<uint32_t>{});
  EXPECT_EQ(*ParseIds("f", "7"), std::vector<uint32_t>{7});
  EXPECT_EQ(*ParseIds("f", "1, 2,4294967295"),
            (std::vector<uint32_t>{1, 2, 4294967295u}));
  for (const char* bad : {"x", "1,,2", "-1", "4294967296", "1.5", "1,"}) {
    const absl::Status status = ParseIds("my_flag", bad).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_NE(status.message().find("--my_flag"), absl::string_view::npos);
  }
}

TEST(FlagValuesTest, BiasesArePairs) {
  EXPECT_EQ(*ParseBiases("f", "1:0.5,2:-100"),
            (std::vector<std::pair<uint32_t, float>>{{1, 0.5f}, {2, -100.f}}));
  EXPECT_TRUE(ParseBiases("f", "")->empty());
  for (const char* bad : {"1", "1:", ":1", "a:1", "1:2:3", "1:b"}) {
    EXPECT_FALSE(ParseBiases("f", bad).ok()) << bad;
  }
}

TEST(FlagValuesTest, StringsAreOneWithEscapesOrAJsonArray) {
  EXPECT_EQ(*ParseStrings("f", ""), Strings{});
  EXPECT_EQ(*ParseStrings("f", "a, b"), Strings{"a, b"});
  EXPECT_EQ(*ParseStrings("f", "\\n\\n"), Strings{"\n\n"});
  EXPECT_EQ(*ParseStrings("f", R"(["a", "b\n"])"), (Strings{"a", "b\n"}));
  for (const char* bad : {"\\q", "[\"a\"", "[1]", "[\"a\",]"}) {
    EXPECT_FALSE(ParseStrings("f", bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace moe::client
