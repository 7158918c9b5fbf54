#include "engine/runtime/request_validation.h"

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace moe {
namespace {

using ::testing::HasSubstr;

ModelConfig SmallModel() {
  ModelConfig model;
  model.vocab_size = 100;
  model.max_positions = 32;
  return model;
}

Request GoodRequest() {
  Request request;
  request.id = "a";
  request.prompt = {1, 2, 99};
  request.stopping.max_new_tokens = 29;
  return request;
}

TEST(RequestValidationTest, EachBadFieldIsNamed) {
  ASSERT_TRUE(ValidateRequest(GoodRequest(), SmallModel()).ok());
  struct BadCase {
    const char* message;
    std::function<void(Request&)> spoil;
  };
  const std::vector<BadCase> cases = {
      {"id is empty", [](Request& r) { r.id.clear(); }},
      {"prompt is empty", [](Request& r) { r.prompt.clear(); }},
      {"prompt has 32 tokens", [](Request& r) { r.prompt.resize(32); }},
      {"prompt[1] is 100", [](Request& r) { r.prompt[1] = 100; }},
      {"prompt[0] is -1", [](Request& r) { r.prompt[0] = -1; }},
      {"max_new_tokens is 0",
       [](Request& r) { r.stopping.max_new_tokens = 0; }},
      {"has room for 29", [](Request& r) { r.stopping.max_new_tokens = 30; }},
      {"max_new_tokens is 9223372036854775807",
       [](Request& r) {
         r.stopping.max_new_tokens = std::numeric_limits<int64_t>::max();
       }},
      {"min_new_tokens is -1",
       [](Request& r) { r.stopping.min_new_tokens = -1; }},
      {"min_new_tokens is 30",
       [](Request& r) { r.stopping.min_new_tokens = 30; }},
      {"stop_token_ids[0] is 100",
       [](Request& r) { r.stopping.stop_token_ids = {100}; }},
      {"(num_answers) is 0", [](Request& r) { r.num_answers = 0; }},
      {"(num_answers) is 1025", [](Request& r) { r.num_answers = 1025; }},
      {"temperature is nan",
       [](Request& r) {
         r.sampling.temperature = std::numeric_limits<float>::quiet_NaN();
       }},
  };
  for (const BadCase& bad : cases) {
    Request request = GoodRequest();
    bad.spoil(request);
    const absl::Status status = ValidateRequest(request, SmallModel());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.message));
  }
}

TEST(RequestValidationTest, RequestsThatLeaveNoTokenAreRefused) {
  const std::vector<int32_t> eos = {7};
  Request request = GoodRequest();
  request.stopping.min_new_tokens = 1;
  request.stopping.stop_token_ids = {5, 6};
  request.sampling.allowed_token_ids = {5, 6, 7, 8};
  EXPECT_TRUE(ValidateRequest(request, SmallModel(), eos).ok());
  request.sampling.banned_token_ids = {8};
  const absl::Status status = ValidateRequest(request, SmallModel(), eos);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("of the 4 allowed_token_ids, banned_token_ids and the "
                        "stop tokens, which min_new_tokens 1 forbids"));
  // Without min_new_tokens, a stop token may be the first token.
  request.stopping.min_new_tokens = 0;
  EXPECT_TRUE(ValidateRequest(request, SmallModel(), eos).ok());
  request.stopping.min_new_tokens = 1;
  request.stopping.ignore_eos = true;
  EXPECT_TRUE(ValidateRequest(request, SmallModel(), eos).ok());

  request = GoodRequest();
  request.stopping.min_new_tokens = 1;
  for (int32_t token = 0; token < 99; ++token) {
    request.stopping.stop_token_ids.push_back(token);
  }
  EXPECT_TRUE(ValidateRequest(request, SmallModel(), eos).ok());
  request.stopping.stop_token_ids.push_back(99);
  EXPECT_THAT(ValidateRequest(request, SmallModel(), eos).ToString(),
              HasSubstr("of the vocabulary, banned_token_ids and the stop"));
}

TEST(FindLengthErrorsTest, AllErrorsOfARequestAreFound) {
  using Errors = std::vector<LengthError>;
  StoppingParams stopping;
  stopping.max_new_tokens = 5;
  EXPECT_EQ(FindLengthErrors(5, stopping, 10), Errors());
  EXPECT_EQ(FindLengthErrors(0, stopping, 10),
            Errors({LengthError::kPromptEmpty}));
  EXPECT_EQ(FindLengthErrors(6, stopping, 10),
            Errors({LengthError::kMaxNewTokensTooLarge}));
  stopping.min_new_tokens = 4;
  // Compared with the room for 3 tokens.
  EXPECT_EQ(FindLengthErrors(7, stopping, 10),
            Errors({LengthError::kMaxNewTokensTooLarge,
                    LengthError::kMinNewTokensAboveMax}));
  EXPECT_EQ(FindLengthErrors(10, stopping, 10),
            Errors({LengthError::kPromptTooLong}));
  stopping.max_new_tokens = 0;
  EXPECT_EQ(FindLengthErrors(1, stopping, 10),
            Errors({LengthError::kMaxNewTokensBelowOne}));
  stopping.min_new_tokens = -1;
  EXPECT_EQ(FindLengthErrors(1, stopping, 10),
            Errors({LengthError::kMaxNewTokensBelowOne,
                    LengthError::kMinNewTokensNegative}));
}

TEST(RequestValidationTest, EachBadEngineOptionIsNamed) {
  EngineOptions good;
  good.num_blocks = 1;
  ASSERT_TRUE(ValidateEngineOptions(good, SmallModel()).ok());
  struct BadCase {
    const char* field;
    std::function<void(EngineOptions&)> spoil;
  };
  const std::vector<BadCase> cases = {
      {"num_blocks", [](EngineOptions& o) { o.num_blocks = 0; }},
      {"block_size", [](EngineOptions& o) { o.block_size = 0; }},
      {"block_size", [](EngineOptions& o) { o.block_size = 2; }},
      {"block_size", [](EngineOptions& o) { o.block_size = 20; }},
      {"block_size", [](EngineOptions& o) { o.block_size = 2048; }},
      {"prefill_chunk_tokens",
       [](EngineOptions& o) { o.prefill_chunk_tokens = -1; }},
      {"max_running_sequences",
       [](EngineOptions& o) { o.max_running_sequences = 0; }},
      {"max_waiting_requests",
       [](EngineOptions& o) { o.max_waiting_requests = 0; }},
      {"max_step_tokens", [](EngineOptions& o) { o.max_step_tokens = 63; }},
      {"stall_timeout",
       [](EngineOptions& o) { o.stall_timeout = absl::ZeroDuration(); }},
      {"eos_token_ids", [](EngineOptions& o) { o.eos_token_ids = {100}; }},
  };
  for (const BadCase& bad : cases) {
    EngineOptions options = good;
    bad.spoil(options);
    const absl::Status status = ValidateEngineOptions(options, SmallModel());
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.field));
  }
}

}  // namespace
}  // namespace moe
