#include "tools/client/stream_statistics.h"

#include <string>

#include "gtest/gtest.h"

namespace moe::client {
namespace {

absl::Time At(int64_t milliseconds) {
  return absl::UnixEpoch() + absl::Milliseconds(milliseconds);
}

TEST(StreamStatisticsTest, TimesTokens) {
  StreamStatistics statistics;
  statistics.StartRequest(At(0));
  statistics.AddPrompt(5);
  statistics.AddTokens(0, At(10));  // a chunk without tokens
  statistics.AddTokens(1, At(100));
  statistics.AddTokens(1, At(120));
  statistics.AddTokens(2, At(180));  // 30 ms each
  statistics.EndRequest(At(200));
  EXPECT_EQ(statistics.prompt_tokens(), 5);
  EXPECT_EQ(statistics.new_tokens(), 4);
  EXPECT_NEAR(statistics.tokens_per_second(), 4 / 0.180, 1e-6);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(statistics.TimeToFirstToken(50)), 100,
              1e-6);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(statistics.InterTokenTime(1)), 20,
              1e-6);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(statistics.InterTokenTime(50)), 30,
              1e-6);
  EXPECT_NE(statistics.ToLine().find("5 prompt tokens, 4 new tokens in 0.20 s"),
            std::string::npos)
      << statistics.ToLine();
}

TEST(StreamStatisticsTest, TimeBetweenRequestsDoesNotCount) {
  StreamStatistics statistics;
  for (const int64_t start : {0, 10000}) {
    statistics.StartRequest(At(start));
    statistics.AddTokens(1, At(start + 50));
    statistics.AddTokens(1, At(start + 60));
    statistics.EndRequest(At(start + 60));
  }
  EXPECT_NEAR(statistics.tokens_per_second(), 4 / 0.120, 1e-6);
  EXPECT_NEAR(absl::ToDoubleMilliseconds(statistics.TimeToFirstToken(95)), 50,
              1e-6);
  EXPECT_NE(statistics.ToLine().find("2 prompts"), std::string::npos);
  EXPECT_NE(statistics.ToLine().find("in 0.12 s"), std::string::npos);
}

TEST(StreamStatisticsTest, ABurstIsNoFasterThanItsWholeTime) {
  StreamStatistics statistics;
  statistics.StartRequest(At(0));
  for (int i = 0; i < 50; ++i) statistics.AddTokens(1, At(1000));
  statistics.EndRequest(At(1000));
  EXPECT_NEAR(statistics.tokens_per_second(), 50, 1e-6);
}

TEST(StreamStatisticsTest, NothingArrived) {
  StreamStatistics statistics;
  EXPECT_EQ(statistics.tokens_per_second(), 0);
  EXPECT_EQ(statistics.InterTokenTime(95), absl::ZeroDuration());
  EXPECT_NE(statistics.ToJson().find("\"new_tokens\":0"), std::string::npos);
}

}  // namespace
}  // namespace moe::client
