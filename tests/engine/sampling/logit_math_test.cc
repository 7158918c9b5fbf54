#include "engine/sampling/logit_math.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace moe {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> RandomLogits(int64_t count) {
  std::mt19937 random(static_cast<uint32_t>(count));
  std::normal_distribution<float> normal(0.0f, 4.0f);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

TEST(LogitMathTest, ExpIsAccurateToFloatPrecision) {
  for (double x = 0.0; x > -87.0; x -= 0.00713) {
    const float value = ExpNonPositive(static_cast<float>(x));
    const double expected =
        std::exp(static_cast<double>(static_cast<float>(x)));
    ASSERT_NEAR(value / expected, 1.0, 3e-7) << x;
  }
  EXPECT_EQ(ExpNonPositive(0.0f), 1.0f);
  EXPECT_EQ(ExpNonPositive(-87.5f), 0.0f);
  EXPECT_EQ(ExpNonPositive(-1e30f), 0.0f);
  EXPECT_EQ(ExpNonPositive(-kInfinity), 0.0f);
}

class LogitMathSizeTest : public testing::TestWithParam<int64_t> {};

TEST_P(LogitMathSizeTest, MaximumIsTheFirstOfTheLargest) {
  std::vector<float> values = RandomLogits(GetParam());
  for (size_t i = 0; i < values.size(); i += 1 + values.size() / 7) {
    std::vector<float> changed = values;
    changed[i] = 100.0f;
    changed.back() = 100.0f;
    const Maximum maximum = FindMaximum(changed);
    EXPECT_EQ(maximum.value, 100.0f);
    EXPECT_EQ(maximum.index, static_cast<int32_t>(i));
  }
}

TEST_P(LogitMathSizeTest, FindsWhatIsNotFinite) {
  std::vector<float> values = RandomLogits(GetParam());
  EXPECT_TRUE(AllFinite(values));
  EXPECT_EQ(FirstNonFinite(values), -1);
  for (float bad : {kInfinity, -kInfinity, std::nanf("")}) {
    std::vector<float> changed = values;
    changed[changed.size() / 2] = bad;
    EXPECT_FALSE(AllFinite(changed));
    EXPECT_EQ(FirstNonFinite(changed),
              static_cast<int64_t>(changed.size() / 2));
  }
}

TEST_P(LogitMathSizeTest, WeightsSumToTheirTotal) {
  const std::vector<float> scores = RandomLogits(GetParam());
  const float maximum = FindMaximum(scores).value;
  std::vector<float> weights(scores.size());
  std::vector<double> sums;
  const double total =
      ComputeWeights(scores, maximum, 1.7f, absl::MakeSpan(weights), &sums);
  double expected = 0.0;
  for (size_t i = 0; i < scores.size(); ++i) {
    const double weight =
        std::exp((static_cast<double>(scores[i]) - maximum) / 1.7);
    ASSERT_NEAR(weights[i], weight, 1e-5 * weight);
    expected += weight;
  }
  EXPECT_NEAR(total, expected, 1e-6 * expected);
  EXPECT_EQ(sums.size(), (scores.size() + kWeightBlock - 1) / kWeightBlock);
}

TEST_P(LogitMathSizeTest, CountsWhatRanksBefore) {
  std::vector<float> values = RandomLogits(GetParam());
  values.back() = values.front();  // a tie
  const int32_t last = static_cast<int32_t>(values.size()) - 1;
  int64_t larger = 0;
  for (float value : values) larger += value > values.front();
  EXPECT_EQ(CountBefore(values, values.front(), 0), larger);
  EXPECT_EQ(CountBefore(values, values.back(), last),
            larger + (last > 0 ? 1 : 0));
}

INSTANTIATE_TEST_SUITE_P(Sizes, LogitMathSizeTest,
                         testing::Values(1, 7, 8, 511, 512, 513, 50257));

}  // namespace
}  // namespace moe
