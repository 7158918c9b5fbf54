#include "server/generation/request_converter.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proto/moe/v1/generation.pb.h"
#include "tests/fakes/fake_engine.h"

namespace moe {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class RequestConverterTest : public testing::Test {
 protected:
  RequestConverterTest() { proto_.set_text("hello"); }

  absl::StatusOr<ConvertedRequest> Convert() const {
    return ConvertRequest(proto_, model_);
  }

  FakeEngine engine_{/*max_positions=*/32};
  ByteTokenizer tokenizer_;
  ServedModel model_ = FakeServedModel(engine_, &tokenizer_);
  v1::GenerateRequest proto_;
};

TEST_F(RequestConverterTest, UnsetFieldsMeanTheModelsDefaults) {
  model_.defaults.temperature = 0.7f;
  model_.defaults.top_k = 40;
  const auto result = Convert();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->request.prompt,
            (std::vector<int32_t>{'h', 'e', 'l', 'l', 'o'}));
  EXPECT_EQ(result->request.sampling.temperature, 0.7f);
  EXPECT_EQ(result->request.sampling.top_k, 40);
  EXPECT_EQ(result->request.num_answers, 1);
  EXPECT_EQ(result->request.stopping.max_new_tokens, 32 - 5);
  EXPECT_EQ(result->request.sampling.num_logprobs, -1);
  EXPECT_TRUE(result->options.text);
  EXPECT_FALSE(result->options.tokens);
}

TEST_F(RequestConverterTest, TokenIdsSentManyTimesAreASet) {
  v1::Penalties& penalties = *proto_.mutable_penalties();
  v1::Stopping& stopping = *proto_.mutable_stopping();
  for (int i = 0; i < 100000; ++i) {
    penalties.add_allowed_token_ids(9 - i % 3);
    penalties.add_banned_token_ids(i % 2 == 0 ? 8 : 4);
    stopping.add_stop_token_ids(1 + i % 2);
  }
  const auto result = Convert();
  ASSERT_TRUE(result.ok()) << result.status();
  using Ids = std::vector<int32_t>;
  EXPECT_EQ(result->request.sampling.allowed_token_ids, (Ids{7, 8, 9}));
  EXPECT_EQ(result->request.sampling.banned_token_ids, (Ids{4, 8}));
  EXPECT_EQ(result->request.stopping.stop_token_ids, (Ids{1, 2}));
  EXPECT_EQ(result->options.stop_token_ids, (Ids{1, 2}));
  penalties.set_allowed_token_ids(77, 1 << 20);
  EXPECT_TRUE(absl::StrContains(Convert().status().message(),
                                "penalties.allowed_token_ids[77]"));
}

TEST_F(RequestConverterTest, ZeroIsAValueAndNotTheDefault) {
  model_.defaults.temperature = 0.7f;
  model_.defaults.top_k = 40;
  proto_.mutable_sampling()->set_temperature(0);
  proto_.mutable_sampling()->set_top_k(0);
  proto_.mutable_sampling()->set_seed(0);
  const auto result = Convert();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->request.sampling.temperature, 0);
  EXPECT_EQ(result->request.sampling.top_k, 0);
  EXPECT_EQ(result->request.sampling.seed, 0);
}

// The order of a protobuf map differs between processes and between maps.
TEST_F(RequestConverterTest, TheSameErrorsGiveTheSameText) {
  auto& biases = *proto_.mutable_penalties()->mutable_logit_bias();
  std::string expected;
  for (int i = 9; i >= 0; --i) {
    biases[i] = 1000;
    expected = absl::StrCat("penalties.logit_bias[", i,
                            "]: is 1000; it must be in [-100, 100]",
                            expected.empty() ? "" : "; ", expected);
  }
  EXPECT_EQ(Convert().status().message(), expected);
}

TEST_F(RequestConverterTest, UnsetSeedsDiffer) {
  EXPECT_NE(Convert()->request.sampling.seed, Convert()->request.sampling.seed);
}

TEST_F(RequestConverterTest, EveryFieldArrives) {
  v1::Sampling& sampling = *proto_.mutable_sampling();
  sampling.set_top_p(0.5f);
  sampling.set_min_p(0.1f);
  sampling.set_n(3);
  v1::Penalties& penalties = *proto_.mutable_penalties();
  penalties.set_presence(-1);
  penalties.set_frequency(2);
  penalties.set_repetition(1.5f);
  (*penalties.mutable_logit_bias())[7] = -3;
  (*penalties.mutable_logit_bias())[5] = 4;
  penalties.add_allowed_token_ids(5);
  penalties.add_banned_token_ids(9);
  v1::Stopping& stopping = *proto_.mutable_stopping();
  stopping.set_max_new_tokens(6);
  stopping.set_min_new_tokens(2);
  stopping.add_stop("END");
  stopping.add_stop_token_ids(10);
  stopping.set_include_stop(true);
  stopping.set_ignore_eos(true);
  proto_.mutable_output()->set_logprobs(2);
  proto_.mutable_output()->set_prompt_logprobs(0);
  proto_.set_priority(-4);

  const auto result = Convert();
  ASSERT_TRUE(result.ok()) << result.status();
  const Request& request = result->request;
  EXPECT_EQ(request.sampling.top_p, 0.5f);
  EXPECT_EQ(request.sampling.min_p, 0.1f);
  EXPECT_EQ(request.num_answers, 3);
  EXPECT_EQ(result->options.num_answers, 3);
  EXPECT_EQ(request.sampling.presence_penalty, -1);
  EXPECT_EQ(request.sampling.frequency_penalty, 2);
  EXPECT_EQ(request.sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(request.sampling.logit_bias,
            (std::vector<std::pair<int32_t, float>>{{5, 4}, {7, -3}}));
  EXPECT_EQ(request.sampling.allowed_token_ids, std::vector<int32_t>{5});
  EXPECT_EQ(request.sampling.banned_token_ids, std::vector<int32_t>{9});
  EXPECT_EQ(request.stopping.max_new_tokens, 6);
  EXPECT_EQ(request.stopping.min_new_tokens, 2);
  EXPECT_EQ(request.stopping.stop_token_ids, std::vector<int32_t>{10});
  EXPECT_TRUE(request.stopping.ignore_eos);
  EXPECT_TRUE(result->options.include_stop);
  EXPECT_TRUE(result->options.stop_finder.has_value());
  EXPECT_EQ(request.sampling.num_logprobs, 2);
  EXPECT_EQ(request.sampling.num_prompt_logprobs, 0);
  EXPECT_TRUE(result->options.tokens);
  EXPECT_TRUE(result->options.prompt_tokens);
  EXPECT_EQ(request.priority, -4);
}

TEST_F(RequestConverterTest, TruncationKeepsTheEndOfThePrompt) {
  proto_.set_text(std::string(100, 'x') + "end");
  proto_.set_truncate_prompt_tokens(4);
  const auto result = Convert();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->request.prompt, (std::vector<int32_t>{'x', 'e', 'n', 'd'}));
}

TEST_F(RequestConverterTest, AModelWithoutTokenizerTakesAndGivesIds) {
  model_.tokenizer = nullptr;
  proto_.mutable_token_ids()->add_ids(3);
  const auto result = Convert();
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_FALSE(result->options.text);
  EXPECT_TRUE(result->options.tokens);

  proto_.set_text("text");
  EXPECT_TRUE(absl::IsFailedPrecondition(Convert().status()));
  EXPECT_TRUE(absl::StrContains(Convert().status().message(), "no tokenizer") ||
              absl::StrContains(Convert().status().message(), "has none"));
}

TEST_F(RequestConverterTest, AllViolationsAreToldAtOnce) {
  proto_.mutable_sampling()->set_temperature(kNan);
  proto_.mutable_sampling()->set_n(0);
  const absl::Status status = Convert().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "sampling.temperature"));
  EXPECT_TRUE(absl::StrContains(status.message(), "sampling.n"));
}

TEST_F(RequestConverterTest, LengthErrorsNameValuesAndBounds) {
  v1::Stopping& stopping = *proto_.mutable_stopping();
  stopping.set_max_new_tokens(28);
  stopping.set_min_new_tokens(29);
  EXPECT_EQ(Convert().status().message(),
            "stopping.max_new_tokens: is 28; after a prompt of 5 tokens, at "
            "most 27 fit the context of 32; stopping.min_new_tokens: is 29; "
            "max_new_tokens is 27");
  stopping.set_max_new_tokens(2);
  stopping.set_min_new_tokens(3);
  EXPECT_EQ(Convert().status().message(),
            "stopping.min_new_tokens: is 3; max_new_tokens is 2");
  stopping.set_max_new_tokens(0);
  stopping.clear_min_new_tokens();
  proto_.mutable_token_ids();
  EXPECT_EQ(Convert().status().message(),
            "token_ids.ids: is empty; a prompt has a token; "
            "stopping.max_new_tokens: is 0; it must be 1 or more");
  proto_.set_text(std::string(40, 'x'));
  EXPECT_EQ(Convert().status().message(),
            "text: has 40 tokens; with at least one new token, at most 31 fit "
            "the context of 32");
}

struct BadRequestCase {
  const char* name;
  const char* field;  // must be in the message
  std::function<void(v1::GenerateRequest&)> spoil;
};

class BadRequestTest : public RequestConverterTest,
                       public testing::WithParamInterface<BadRequestCase> {};

TEST_P(BadRequestTest, IsInvalidAndNamesTheField) {
  GetParam().spoil(proto_);
  const absl::Status status = Convert().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), GetParam().field)) << status;
  EXPECT_TRUE(status.GetPayload("type.googleapis.com/google.rpc.BadRequest")
                  .has_value());
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadRequestTest,
    testing::Values(
        BadRequestCase{"NanTemperature", "sampling.temperature",
                       [](v1::GenerateRequest& r) {
                         r.mutable_sampling()->set_temperature(kNan);
                       }},
        BadRequestCase{"NegativeTemperature", "sampling.temperature",
                       [](v1::GenerateRequest& r) {
                         r.mutable_sampling()->set_temperature(-1);
                       }},
        BadRequestCase{"InfiniteTemperature", "sampling.temperature",
                       [](v1::GenerateRequest& r) {
                         r.mutable_sampling()->set_temperature(kInfinity);
                       }},
        BadRequestCase{
            "ZeroTopP", "sampling.top_p",
            [](v1::GenerateRequest& r) { r.mutable_sampling()->set_top_p(0); }},
        BadRequestCase{"NanTopP", "sampling.top_p",
                       [](v1::GenerateRequest& r) {
                         r.mutable_sampling()->set_top_p(kNan);
                       }},
        BadRequestCase{"NanMinP", "sampling.min_p",
                       [](v1::GenerateRequest& r) {
                         r.mutable_sampling()->set_min_p(kNan);
                       }},
        BadRequestCase{
            "ZeroN", "sampling.n",
            [](v1::GenerateRequest& r) { r.mutable_sampling()->set_n(0); }},
        BadRequestCase{"TooManyAnswers", "sampling.n",
                       [](v1::GenerateRequest& r) {
                         r.mutable_sampling()->set_n(4000000000u);
                       }},
        BadRequestCase{"NanPresence", "penalties.presence",
                       [](v1::GenerateRequest& r) {
                         r.mutable_penalties()->set_presence(kNan);
                       }},
        BadRequestCase{"LargeFrequency", "penalties.frequency",
                       [](v1::GenerateRequest& r) {
                         r.mutable_penalties()->set_frequency(2.5f);
                       }},
        BadRequestCase{"ZeroRepetition", "penalties.repetition",
                       [](v1::GenerateRequest& r) {
                         r.mutable_penalties()->set_repetition(0);
                       }},
        BadRequestCase{"InfiniteRepetition", "penalties.repetition",
                       [](v1::GenerateRequest& r) {
                         r.mutable_penalties()->set_repetition(kInfinity);
                       }},
        BadRequestCase{"NanLogitBias", "penalties.logit_bias[4]",
                       [](v1::GenerateRequest& r) {
                         (*r.mutable_penalties()->mutable_logit_bias())[4] =
                             kNan;
                       }},
        BadRequestCase{"LogitBiasOutOfVocabulary", "penalties.logit_bias[257]",
                       [](v1::GenerateRequest& r) {
                         (*r.mutable_penalties()->mutable_logit_bias())[257] =
                             1;
                       }},
        BadRequestCase{
            "AllowedOutOfVocabulary", "penalties.allowed_token_ids[0]",
            [](v1::GenerateRequest& r) {
              r.mutable_penalties()->add_allowed_token_ids(4294967295u);
            }},
        BadRequestCase{"NothingAllowedIsLeft", "penalties",
                       [](v1::GenerateRequest& r) {
                         r.mutable_penalties()->add_allowed_token_ids(3);
                         r.mutable_penalties()->add_banned_token_ids(3);
                       }},
        BadRequestCase{"OnlyStopTokensAreLeft", "penalties",
                       [](v1::GenerateRequest& r) {
                         r.mutable_penalties()->add_allowed_token_ids(
                             ByteTokenizer::kEos);
                         r.mutable_stopping()->set_min_new_tokens(1);
                       }},
        BadRequestCase{"EverythingBanned", "penalties",
                       [](v1::GenerateRequest& r) {
                         for (int i = 0; i < ByteTokenizer::kVocabSize; ++i) {
                           r.mutable_penalties()->add_banned_token_ids(i);
                         }
                       }},
        BadRequestCase{"TooManyLogprobs", "output.logprobs",
                       [](v1::GenerateRequest& r) {
                         r.mutable_output()->set_logprobs(21);
                       }},
        BadRequestCase{"ZeroMaxNewTokens", "stopping.max_new_tokens",
                       [](v1::GenerateRequest& r) {
                         r.mutable_stopping()->set_max_new_tokens(0);
                       }},
        BadRequestCase{"MaxNewTokensBeyondContext", "stopping.max_new_tokens",
                       [](v1::GenerateRequest& r) {
                         r.mutable_stopping()->set_max_new_tokens(28);
                       }},
        BadRequestCase{"MinAboveMax", "stopping.min_new_tokens",
                       [](v1::GenerateRequest& r) {
                         r.mutable_stopping()->set_max_new_tokens(2);
                         r.mutable_stopping()->set_min_new_tokens(3);
                       }},
        BadRequestCase{
            "EmptyStop", "stop[0] is empty",
            [](v1::GenerateRequest& r) { r.mutable_stopping()->add_stop(""); }},
        BadRequestCase{"LongStop", "stopping.stop[0]",
                       [](v1::GenerateRequest& r) {
                         r.mutable_stopping()->add_stop(std::string(2000, 's'));
                       }},
        BadRequestCase{"TooManyStops", "stopping.stop",
                       [](v1::GenerateRequest& r) {
                         for (int i = 0; i < 17; ++i) {
                           r.mutable_stopping()->add_stop("s");
                         }
                       }},
        BadRequestCase{"StopTokenOutOfVocabulary", "stopping.stop_token_ids[0]",
                       [](v1::GenerateRequest& r) {
                         r.mutable_stopping()->add_stop_token_ids(257);
                       }},
        BadRequestCase{"NoPrompt", "prompt",
                       [](v1::GenerateRequest& r) { r.clear_prompt(); }},
        BadRequestCase{"EmptyText", "text",
                       [](v1::GenerateRequest& r) { r.set_text(""); }},
        BadRequestCase{"EmptyIds", "token_ids",
                       [](v1::GenerateRequest& r) { r.mutable_token_ids(); }},
        BadRequestCase{"IdOutOfVocabulary", "token_ids.ids[1]",
                       [](v1::GenerateRequest& r) {
                         r.mutable_token_ids()->add_ids(1);
                         r.mutable_token_ids()->add_ids(257);
                       }},
        BadRequestCase{"TextNotUtf8", "text",
                       [](v1::GenerateRequest& r) { r.set_text("a\xff"); }},
        BadRequestCase{
            "PromptFillsTheContext", "32",
            [](v1::GenerateRequest& r) { r.set_text(std::string(32, 'x')); }},
        BadRequestCase{
            "ZeroTruncation", "truncate_prompt_tokens",
            [](v1::GenerateRequest& r) { r.set_truncate_prompt_tokens(0); }}),
    [](const auto& info) { return std::string(info.param.name); });

// Tokenizing text far above the limit would only take time.
TEST_F(RequestConverterTest, TextFarAboveTheContextIsNotTokenized) {
  struct Counting : ByteTokenizer {
    absl::StatusOr<Encoding> Encode(
        absl::string_view text, const EncodeOptions& options) const override {
      ++num_calls;
      return ByteTokenizer::Encode(text, options);
    }
    mutable int num_calls = 0;
  } counting;
  model_.tokenizer = &counting;
  proto_.set_truncate_prompt_tokens(4);
  proto_.set_text(std::string(32 * kMaxTextBytesPerToken, 'x'));
  EXPECT_TRUE(Convert().ok());
  EXPECT_EQ(counting.num_calls, 1);
  proto_.mutable_text()->push_back('x');
  const absl::Status status = Convert().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "text: has 8193 bytes"))
      << status;
  EXPECT_EQ(counting.num_calls, 1);
}

}  // namespace
}  // namespace moe
