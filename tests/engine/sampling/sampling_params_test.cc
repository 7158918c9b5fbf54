#include "engine/sampling/sampling_params.h"

#include <cmath>
#include <functional>
#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

using ::testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kVocab = 100;

TEST(SamplingParamsTest, DefaultsAndExtremesAreValid) {
  SamplingParams params;
  EXPECT_TRUE(params.Validate(kVocab).ok());
  params.temperature = 0.0f;
  params.top_k = 1 << 30;
  params.top_p = 1e-9f;
  params.min_p = 1.0f;
  params.repetition_penalty = 1e-6f;
  params.presence_penalty = -2.0f;
  params.frequency_penalty = 2.0f;
  params.logit_bias = {{0, -100.0f}, {99, 100.0f}};
  params.allowed_token_ids = {0, 1};
  params.banned_token_ids = {1};
  params.num_logprobs = 100;
  params.num_prompt_logprobs = 0;
  EXPECT_TRUE(params.Validate(kVocab).ok()) << params.Validate(kVocab);
}

struct BadCase {
  std::string field;
  std::function<void(SamplingParams&)> spoil;
};

TEST(SamplingParamsTest, EachBadFieldIsNamed) {
  const std::vector<BadCase> cases = {
      {"temperature", [](auto& p) { p.temperature = kNan; }},
      {"temperature", [](auto& p) { p.temperature = -0.1f; }},
      {"temperature", [](auto& p) { p.temperature = kInfinity; }},
      {"top_k", [](auto& p) { p.top_k = -1; }},
      {"top_p", [](auto& p) { p.top_p = kNan; }},
      {"top_p", [](auto& p) { p.top_p = 0.0f; }},
      {"top_p", [](auto& p) { p.top_p = 1.01f; }},
      {"min_p", [](auto& p) { p.min_p = kNan; }},
      {"min_p", [](auto& p) { p.min_p = -0.1f; }},
      {"min_p", [](auto& p) { p.min_p = 1.1f; }},
      {"repetition_penalty", [](auto& p) { p.repetition_penalty = kNan; }},
      {"repetition_penalty", [](auto& p) { p.repetition_penalty = 0.0f; }},
      {"repetition_penalty", [](auto& p) { p.repetition_penalty = kInfinity; }},
      {"presence_penalty", [](auto& p) { p.presence_penalty = kNan; }},
      {"presence_penalty", [](auto& p) { p.presence_penalty = 2.1f; }},
      {"frequency_penalty", [](auto& p) { p.frequency_penalty = kNan; }},
      {"frequency_penalty", [](auto& p) { p.frequency_penalty = -2.1f; }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{100, 1.0f}};
       }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{-1, 1.0f}};
       }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{1, kNan}};
       }},
      {"logit_bias",
       [](auto& p) {
         p.logit_bias = {{1, 101.0f}};
       }},
      {"allowed_token_ids[1]",
       [](auto& p) {
         p.allowed_token_ids = {1, 100};
       }},
      {"banned_token_ids[0]", [](auto& p) { p.banned_token_ids = {-1}; }},
      {"banned_token_ids",
       [](auto& p) {
         p.allowed_token_ids = {5, 6};
         p.banned_token_ids = {6, 5, 5};
       }},
      {"banned_token_ids",
       [](auto& p) {
         for (int32_t i = 0; i < kVocab; ++i) p.banned_token_ids.push_back(i);
       }},
      {"num_logprobs", [](auto& p) { p.num_logprobs = -2; }},
      {"num_logprobs", [](auto& p) { p.num_logprobs = 101; }},
      {"num_prompt_logprobs", [](auto& p) { p.num_prompt_logprobs = 101; }},
  };
  for (const BadCase& bad : cases) {
    SamplingParams params;
    bad.spoil(params);
    const absl::Status status = params.Validate(kVocab);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.field;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.field));
  }
}

}  // namespace
}  // namespace moe
