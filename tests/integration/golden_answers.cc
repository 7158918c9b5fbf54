#include "tests/integration/golden_answers.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/support/golden.h"

namespace moe {

void ExpectGoldenAnswers(const std::string& model, v1::Inference::Stub& stub) {
  const Golden golden(model);
  const std::vector<int32_t> prompts = golden.Ints("prompts");
  const std::vector<int32_t> greedy = golden.Ints("greedy");
  const int64_t rows = golden.Shape("prompts")[0];
  const int64_t prompt_size = golden.Shape("prompts")[1];
  const int64_t answer_size = golden.Shape("greedy")[1];
  for (int64_t row = 0; row < rows; ++row) {
    v1::GenerateRequest request;
    for (int64_t i = 0; i < prompt_size; ++i) {
      request.mutable_token_ids()->add_ids(prompts[row * prompt_size + i]);
    }
    request.mutable_sampling()->set_temperature(0);
    request.mutable_stopping()->set_max_new_tokens(answer_size);
    request.mutable_output()->set_expert_usage(true);
    grpc::ClientContext context;
    v1::GenerateResponse response;
    const grpc::Status status = stub.Generate(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    ASSERT_EQ(response.answers_size(), 1);
    std::vector<int32_t> ids;
    for (const v1::Token& token : response.answers(0).tokens()) {
      ids.push_back(token.id());
    }
    const auto begin = greedy.begin() + row * answer_size;
    EXPECT_EQ(ids, std::vector<int32_t>(begin, begin + answer_size));
    // Every token except the last passed each layer's gate.
    ASSERT_EQ(response.expert_usage().layers_size(), 3);
    for (const auto& layer : response.expert_usage().layers()) {
      int64_t tokens = 0;
      for (const uint64_t n : layer.tokens_by_expert()) tokens += n;
      EXPECT_EQ(tokens, prompt_size + answer_size - 1) << layer.layer();
    }
  }
}

}  // namespace moe
