#include "server/logging/log.h"

#include <gtest/gtest.h>

#include <limits>

namespace moe {
namespace {

TEST(LogTest, KeyValueQuotesWhatIsNotOneWord) {
  EXPECT_EQ(FormatKeyValue("done", {{"id", "a-1"},
                                    {"n", 3},
                                    {"rate", 0.25},
                                    {"message", "two words"},
                                    {"empty", ""},
                                    {"equals", "a=b"}}),
            "event=done id=a-1 n=3 rate=0.25 message=\"two words\" empty=\"\" "
            "equals=\"a=b\"");
}

TEST(LogTest, ALineStaysALine) {
  EXPECT_EQ(FormatKeyValue("e", {{"m", "a\nb\"c\\\x01"}}),
            "event=e m=\"a\\nb\\\"c\\\\\\u0001\"");
}

TEST(LogTest, BytesThatAreNotUtf8AreTold) {
  EXPECT_EQ(FormatKeyValue("e", {{"m", "mod\xe9l"}, {"n", "na\xc3\xafve"}}),
            "event=e m=\"mod\\\\xe9l\" n=\"na\xc3\xafve\"");
  EXPECT_EQ(FormatJsonMembers("e", {{"m", "a\xe2\x82"}, {"n", "\xe2\x82\xac"}}),
            "\"event\":\"e\",\"m\":\"a\\\\xe2\\\\x82\",\"n\":\"\xe2\x82\xac\"");
}

TEST(LogTest, JsonKeepsNumbersAndQuotesTheRest) {
  EXPECT_EQ(FormatJsonMembers(
                "e", {{"n", int64_t{-3}},
                      {"rate", 1.5},
                      {"text", "a\"b"},
                      {"nan", std::numeric_limits<double>::quiet_NaN()}}),
            R"("event":"e","n":-3,"rate":1.5,"text":"a\"b","nan":"nan")");
}

}  // namespace
}  // namespace moe
