#include "server/generation/answer_size.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/match.h"
#include "proto/moe/v1/generation.pb.h"
#include "server/generation/request_converter.h"
#include "tests/fakes/fake_engine.h"

namespace moe {
namespace {

class AnswerSizeTest : public testing::Test {
 protected:
  AnswerSizeTest() : engine_(1 << 16) {
    proto_.set_text(std::string(100, 'x'));
    proto_.mutable_stopping()->set_max_new_tokens(500);
  }

  absl::Status Check(int64_t max_message_bytes) {
    model_.limits.max_message_bytes = max_message_bytes;
    const auto converted = ConvertRequest(proto_, model_);
    EXPECT_TRUE(converted.ok()) << converted.status();
    return CheckAnswerSize(*converted, model_, LongestTokenBytes(&tokenizer_));
  }

  // A token with `top` others; < 0: the id only.
  static void FillToken(int top, v1::Token* token) {
    token->set_id(256);
    if (top < 0) return;
    token->set_logprob(-1);
    token->set_rank(257);
    token->set_bytes("<eos>");
    for (int i = 0; i < top; ++i) {
      v1::TokenLogprob* other = token->add_top();
      other->set_token_id(256);
      other->set_logprob(-1);
      other->set_rank(257);
      other->set_bytes("<eos>");
    }
  }

  FakeEngine engine_;
  ByteTokenizer tokenizer_;
  ServedModel model_ = FakeServedModel(engine_, &tokenizer_);
  v1::GenerateRequest proto_;
};

TEST_F(AnswerSizeTest, TheBoundIsAboveTheLongestAnswerButNotFar) {
  proto_.mutable_sampling()->set_n(3);
  proto_.mutable_output()->set_logprobs(20);
  proto_.mutable_output()->set_prompt_logprobs(5);
  proto_.mutable_output()->set_echo(true);
  v1::GenerateResponse longest;
  longest.set_request_id(std::string(128, 'i'));
  longest.mutable_prompt()->set_num_tokens(100);
  longest.mutable_prompt()->set_text(proto_.text());
  for (int i = 0; i < 100; ++i) {
    FillToken(5, longest.mutable_prompt()->add_tokens());
  }
  for (int i = 0; i < 3; ++i) {
    v1::Answer* answer = longest.add_answers();
    for (int j = 0; j < 500; ++j) {
      FillToken(20, answer->add_tokens());
      answer->mutable_text()->append("\xEF\xBF\xBD");  // a lone byte
    }
    answer->mutable_finish()->set_reason(v1::Finish::LENGTH);
    answer->mutable_finish()->mutable_usage()->set_completion_tokens(500);
  }
  const int64_t num_bytes = longest.ByteSizeLong();
  EXPECT_FALSE(Check(num_bytes - 1).ok());
  const absl::Status status = Check(num_bytes + num_bytes / 4 + 1024);
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(AnswerSizeTest, TheMessageSaysWhatFits) {
  const absl::Status status = Check(1500);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "stopping.max_new_tokens: "))
      << status;
  EXPECT_TRUE(absl::StrContains(status.message(),
                                "at most 1500 (server.max_message_bytes)"))
      << status;
  // Text of 3 bytes a token.
  const size_t at = status.message().find("set it to at most ");
  ASSERT_NE(at, absl::string_view::npos) << status;
  const int fitting =
      std::atoi(std::string(status.message().substr(at + 18)).c_str());
  EXPECT_GT(fitting, 0);
  proto_.mutable_stopping()->set_max_new_tokens(fitting);
  EXPECT_TRUE(Check(1500).ok());
  proto_.mutable_stopping()->set_max_new_tokens(fitting + 1);
  EXPECT_FALSE(Check(1500).ok());
}

TEST_F(AnswerSizeTest, ALongPromptIsNamedByItsField) {
  proto_.mutable_stopping()->set_max_new_tokens(1);
  proto_.set_text(std::string(60000, 'x'));
  EXPECT_TRUE(Check(50000).ok());  // the prompt is not part of the answer
  proto_.mutable_output()->set_echo(true);
  EXPECT_TRUE(absl::StrContains(Check(50000).message(), "output.echo: "));
  proto_.mutable_output()->set_prompt_logprobs(0);
  EXPECT_TRUE(
      absl::StrContains(Check(50000).message(), "output.prompt_logprobs: "));
}

}  // namespace
}  // namespace moe
