#include "engine/sampling/sampler.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/golden.h"

namespace moe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Json = nlohmann::json;

std::vector<float> RandomLogits(int64_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> logits(count);
  for (float& logit : logits) logit = normal(random);
  return logits;
}

SampleRow Row(const std::vector<float>& logits) {
  SampleRow row;
  row.logits = logits;
  return row;
}

class SamplerGoldenTest : public testing::Test {
 protected:
  static Json Cases() {
    std::ifstream file(
        TestDataPath("tests/engine/sampling/sampler_goldens.json"));
    return Json::parse(file).at("cases");
  }
  static SamplingParams Params(const Json& json) {
    SamplingParams params;
    params.temperature = json.value("temperature", 1.0f);
    params.top_k = json.value("top_k", 0);
    params.top_p = json.value("top_p", 1.0f);
    params.min_p = json.value("min_p", 0.0f);
    params.repetition_penalty = json.value("repetition_penalty", 1.0f);
    params.presence_penalty = json.value("presence_penalty", 0.0f);
    params.frequency_penalty = json.value("frequency_penalty", 0.0f);
    for (const Json& bias : json.value("logit_bias", Json::array())) {
      params.logit_bias.emplace_back(bias[0].get<int32_t>(),
                                     bias[1].get<float>());
    }
    params.allowed_token_ids = json.value("allowed", std::vector<int32_t>());
    params.banned_token_ids = json.value("banned", std::vector<int32_t>());
    return params;
  }
};

TEST_F(SamplerGoldenTest, DistributionsAreThoseOfTheReference) {
  const Json cases = Cases();
  ASSERT_GE(cases.size(), 39u);
  for (size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(i);
    const Json& json = cases[i];
    const auto logits = json.at("logits").get<std::vector<float>>();
    const auto prompt = json.at("prompt").get<std::vector<int32_t>>();
    const auto answer = json.at("answer").get<std::vector<int32_t>>();
    const auto masked = json.value("masked", std::vector<int32_t>());
    SampleRow row = Row(logits);
    row.prompt = prompt;
    row.answer = answer;
    row.masked_ids = masked;
    const SamplingParams params = Params(json);
    ASSERT_TRUE(params.Validate(logits.size()).ok());
    Sampler sampler(logits.size());
    const auto distribution = sampler.Distribution(params, row);
    ASSERT_TRUE(distribution.ok()) << distribution.status();
    std::map<int32_t, double> actual;
    for (const ScoredToken& token : *distribution) {
      actual[token.token_id] = token.score;
    }
    for (const Json& expected : json.at("expected")) {
      const int32_t id = expected[0].get<int32_t>();
      const double probability = expected[1].get<double>();
      EXPECT_NEAR(actual[id], probability, 2e-6 + 2e-5 * probability) << id;
      actual.erase(id);
    }
    // Tokens without probability in the reference must be missing.
    for (const auto& [id, probability] : actual) {
      ADD_FAILURE() << "token " << id << " has probability " << probability;
    }
  }
}

TEST_F(SamplerGoldenTest, LogprobsAreOfTheRawDistribution) {
  for (const Json& json : Cases()) {
    const auto logits = json.at("logits").get<std::vector<float>>();
    const auto expected = json.at("logprobs").get<std::vector<double>>();
    SamplingParams params = Params(json);
    params.num_logprobs = 4;
    Sampler sampler(logits.size());
    const auto token = sampler.Sample(params, Row(logits));
    ASSERT_TRUE(token.ok());
    EXPECT_NEAR(token->logprob.logprob, expected[token->token_id], 2e-6);
    ASSERT_EQ(token->top.size(), 4u);
    int64_t before = 0;
    for (double other : expected) before += other > expected[token->token_id];
    EXPECT_EQ(token->logprob.rank, before + 1);
    for (int32_t rank = 1; rank <= 4; ++rank) {
      const TokenLogprob& top = token->top[rank - 1];
      EXPECT_EQ(top.rank, rank);
      EXPECT_NEAR(top.logprob, expected[top.token_id], 2e-6);
      int64_t above = 0;
      for (double other : expected) above += other > expected[top.token_id];
      EXPECT_EQ(above, rank - 1);
    }
  }
}

TEST(SamplerTest, GreedyTiesGoToTheLowestId) {
  std::vector<float> logits(5000, 1.0f);
  logits[4321] = logits[1234] = logits[4999] = 2.0f;
  SamplingParams params;
  params.temperature = 0.0f;
  Sampler sampler(5000);
  EXPECT_EQ(sampler.Sample(params, Row(logits))->token_id, 1234);
}

TEST(SamplerTest, TiesAtTheTopKBorderGoToTheLowestIds) {
  std::vector<float> logits(40, 0.0f);
  logits[30] = 1.0f;
  SamplingParams params;
  params.top_k = 3;
  Sampler sampler(40);
  std::vector<int32_t> ids;
  const auto distribution = sampler.Distribution(params, Row(logits));
  for (const ScoredToken& token : *distribution) ids.push_back(token.token_id);
  EXPECT_THAT(ids, ElementsAre(30, 0, 1));
}

TEST(SamplerTest, NonFiniteLogitsAreAnError) {
  for (float bad : {std::nanf(""), std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    std::vector<float> logits = RandomLogits(100, 1);
    logits[17] = bad;
    Sampler sampler(100);
    const absl::Status status =
        sampler.Sample(SamplingParams(), Row(logits)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(std::string(status.message()), HasSubstr("token 17"));
    EXPECT_EQ(sampler.Score(logits, 3, 0).status().code(),
              absl::StatusCode::kInternal);
  }
}

TEST(SamplerTest, NoTokenLeftIsAnError) {
  const std::vector<float> logits = RandomLogits(10, 1);
  SamplingParams params;
  params.allowed_token_ids = {4};
  SampleRow row = Row(logits);
  const std::vector<int32_t> masked = {4};
  row.masked_ids = masked;
  Sampler sampler(10);
  EXPECT_EQ(sampler.Sample(params, row).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(SamplerTest, ExtremeParamsAndLogitsStillChooseAToken) {
  std::vector<float> logits = RandomLogits(1000, 2);
  logits[5] = 3e38f;
  logits[6] = -3e38f;
  const std::vector<int32_t> tokens = {5, 6, 7};
  SampleRow row = Row(logits);
  row.prompt = tokens;
  Sampler sampler(1000);
  for (float temperature : {1e-40f, 1e-6f, 1.0f, 1e30f}) {
    for (float penalty : {1e-30f, 1.0f, 1e30f}) {
      for (float top_p : {1e-12f, 0.5f, 1.0f}) {
        for (float min_p : {0.0f, 1.0f}) {
          SamplingParams params;
          params.temperature = temperature;
          params.repetition_penalty = penalty;
          params.top_p = top_p;
          params.min_p = min_p;
          params.num_logprobs = 1;
          const auto token = sampler.Sample(params, row);
          ASSERT_TRUE(token.ok()) << token.status();
          ASSERT_GE(token->token_id, 0);
          ASSERT_LT(token->token_id, 1000);
          ASSERT_FALSE(std::isnan(token->logprob.logprob));
        }
      }
    }
  }
}

// The draws follow the distribution: each token's count within 5 standard
// deviations.
class SamplerDrawTest : public testing::TestWithParam<const char*> {};

TEST_P(SamplerDrawTest, FrequenciesAreTheProbabilities) {
  const std::string kind = GetParam();
  const std::vector<float> logits = RandomLogits(300, 9);
  SamplingParams params;
  params.seed = 77;
  if (kind == "top_k") params.top_k = 20;
  if (kind == "top_p") params.top_p = 0.9f;
  if (kind == "min_p") params.min_p = 0.02f;
  Sampler sampler(300);
  std::map<int32_t, double> probabilities;
  const auto distribution = sampler.Distribution(params, Row(logits));
  for (const ScoredToken& token : *distribution) {
    probabilities[token.token_id] = token.score;
  }
  constexpr int kDraws = 10000;
  std::map<int32_t, int> counts;
  std::vector<int32_t> answer;
  for (int i = 0; i < kDraws; ++i) {
    SampleRow row = Row(logits);
    row.answer_index = i;
    ++counts[sampler.Sample(params, row)->token_id];
  }
  for (const auto& [id, probability] : probabilities) {
    const double mean = probability * kDraws;
    const double deviation = std::sqrt(mean * (1.0 - probability)) + 1.0;
    EXPECT_NEAR(counts[id], mean, 5 * deviation) << id;
    counts.erase(id);
  }
  EXPECT_TRUE(counts.empty());
}

INSTANTIATE_TEST_SUITE_P(Filters, SamplerDrawTest,
                         testing::Values("none", "top_k", "top_p", "min_p"));

TEST(SamplerTest, SameSeedSameTokenWhateverTheSamplerDidBefore) {
  Sampler used(2000);
  for (uint32_t i = 0; i < 50; ++i) {
    SamplingParams params;
    params.seed = i;
    params.top_p = i % 2 == 0 ? 0.8f : 1.0f;
    params.top_k = i % 3 == 0 ? 30 : 0;
    params.repetition_penalty = i % 5 == 0 ? 1.5f : 1.0f;
    params.num_logprobs = 2;
    const std::vector<float> logits = RandomLogits(2000, i);
    const std::vector<int32_t> answer = {1, 2, 2, 1999};
    SampleRow row = Row(logits);
    row.answer = answer;
    Sampler fresh(2000);
    const auto a = fresh.Sample(params, row);
    const auto b = used.Sample(params, row);
    EXPECT_EQ(a->token_id, b->token_id);
    EXPECT_EQ(a->logprob.logprob, b->logprob.logprob);
  }
}

}  // namespace
}  // namespace moe
