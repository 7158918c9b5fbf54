// The shipped models, served by the real program: their losses on held-out text
// equal PyTorch's, and 64 concurrent mixed requests get the same answers as
// each alone.
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "proto/moe/v1/generation.grpc.pb.h"
#include "tests/integration/server_process.h"
#include "tests/support/golden.h"

namespace moe {
namespace {

constexpr double kLossTolerance = 1e-3;  // nats per token
constexpr int kMixedRequests = 64;

nlohmann::json HeldOut() {
  std::ifstream file(TestDataPath("tests/goldens/models/heldout.json"));
  return nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
}

class ShippedModelTest : public testing::TestWithParam<std::string> {
 protected:
  // `engine`: fields of the configuration's engine.
  void Start(const std::string& dtype, const std::string& engine) {
    process_ = std::make_unique<ServerProcess>(absl::StrCat(
        "model { path: \"", TestDataPath("configs/models/" + GetParam()),
        "\" weight_dtype: ", dtype, " }\nengine { ", engine,
        " }\nserver { port: 0 port_file: \"port\" }\n"));
    const int port = process_->WaitForPort();
    ASSERT_NE(port, 0) << process_->Log();
    stub_ = v1::Inference::NewStub(grpc::CreateChannel(
        absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials()));
  }

  // A generated answer; an error fails the test.
  v1::GenerateResponse Generate(const v1::GenerateRequest& request) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::minutes(5));
    v1::GenerateResponse response;
    const grpc::Status status = stub_->Generate(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  std::unique_ptr<ServerProcess> process_;
  std::unique_ptr<v1::Inference::Stub> stub_;
};

TEST_P(ShippedModelTest, HeldOutLossIsPyTorchs) {
  const nlohmann::json golden = HeldOut();
  ASSERT_TRUE(golden.is_object());
  Start("F32", "");
  double total = 0;
  int64_t predicted = 0;
  for (const nlohmann::json& excerpt : golden["excerpts"]) {
    v1::GenerateRequest request;
    for (const nlohmann::json& id : excerpt["tokens"]) {
      request.mutable_token_ids()->add_ids(id.get<uint32_t>());
    }
    request.mutable_output()->set_prompt_logprobs(0);
    request.mutable_stopping()->set_max_new_tokens(1);
    const v1::GenerateResponse response = Generate(request);
    const int tokens = request.token_ids().ids_size();
    ASSERT_EQ(response.prompt().tokens_size(), tokens);
    double nll = 0;
    for (int i = 1; i < tokens; ++i) {
      nll -= response.prompt().tokens(i).logprob();
    }
    EXPECT_NEAR(nll / (tokens - 1),
                excerpt["mean_nll"][GetParam()].get<double>(), kLossTolerance)
        << excerpt["book"];
    total += nll;
    predicted += tokens - 1;
  }
  EXPECT_EQ(predicted, golden["predicted_tokens"].get<int64_t>());
  EXPECT_NEAR(total / predicted, golden["total"][GetParam()].get<double>(),
              kLossTolerance);
}

TEST_P(ShippedModelTest, TokenizesHeldOutTextAsItWasTrained) {
  const nlohmann::json golden = HeldOut();
  Start("BF16", "");
  for (const nlohmann::json& excerpt : golden["excerpts"]) {
    v1::TokenizeRequest request;
    request.set_text(excerpt["text"].get<std::string>());
    v1::TokenizeResponse response;
    grpc::ClientContext context;
    ASSERT_TRUE(stub_->Tokenize(&context, request, &response).ok());
    const std::vector<uint32_t> ids(response.token_ids().begin(),
                                    response.token_ids().end());
    EXPECT_EQ(ids, excerpt["tokens"].get<std::vector<uint32_t>>());
  }
}

// Request `i`: prompts, lengths, samplers and seeds of all sorts.
v1::GenerateRequest MixedRequest(const nlohmann::json& golden, int i) {
  const nlohmann::json& excerpts = golden["excerpts"];
  const nlohmann::json& tokens = excerpts[i % excerpts.size()]["tokens"];
  const size_t length = std::min<size_t>(tokens.size(), 1 + (i * 37) % 150);
  v1::GenerateRequest request;
  for (size_t t = 0; t < length; ++t) {
    request.mutable_token_ids()->add_ids(tokens[t].get<uint32_t>());
  }
  v1::Sampling& sampling = *request.mutable_sampling();
  sampling.set_temperature(i % 4 == 0 ? 0 : 0.5f + 0.1f * (i % 7));
  if (i % 3 == 0) sampling.set_top_k(5 + i);
  if (i % 5 == 0) sampling.set_top_p(0.8f);
  if (i % 7 == 0) sampling.set_min_p(0.05f);
  if (i % 11 == 0) sampling.set_n(2);
  sampling.set_seed(1000 + i);
  if (i % 6 == 0) request.mutable_penalties()->set_repetition(1.2f);
  if (i % 9 == 0) request.mutable_penalties()->set_frequency(0.5f);
  request.mutable_stopping()->set_max_new_tokens(4 + (i * 13) % 40);
  request.mutable_output()->set_logprobs(i % 3);
  if (i % 8 == 0) request.mutable_output()->set_prompt_logprobs(1);
  request.mutable_output()->set_token_ids(true);
  return request;
}

// The results that must not depend on other requests: tokens, logprobs (to the
// bit), finish reasons.
std::string Outcome(v1::GenerateResponse response) {
  response.clear_request_id();
  return response.SerializeAsString();
}

TEST_P(ShippedModelTest, MixedRequestsTogetherAnswerAsEachAlone) {
  const nlohmann::json golden = HeldOut();
  Start("BF16", "threads: 2 max_running_sequences: 64");
  std::vector<std::string> alone(kMixedRequests);
  for (int i = 0; i < kMixedRequests; ++i) {
    alone[i] = Outcome(Generate(MixedRequest(golden, i)));
  }
  // Other chunks, blocks and threads, and so few blocks that requests are
  // preempted.
  for (const char* engine :
       {"threads: 2 max_running_sequences: 64",
        "threads: 1 max_running_sequences: 64 prefill_chunk_tokens: 7",
        "threads: 2 max_running_sequences: 64 prefill_chunk_tokens: 64 "
        "kv_cache_bytes: 8000000"}) {
    SCOPED_TRACE(engine);
    process_ = nullptr;
    Start("BF16", engine);
    std::vector<std::string> together(kMixedRequests);
    std::vector<std::thread> clients;
    for (int i = 0; i < kMixedRequests; ++i) {
      clients.emplace_back(
          [&, i] { together[i] = Outcome(Generate(MixedRequest(golden, i))); });
    }
    for (std::thread& client : clients) client.join();
    for (int i = 0; i < kMixedRequests; ++i) {
      EXPECT_EQ(together[i], alone[i]) << "request " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ShippedModelTest,
                         testing::Values("prose-pr-moe", "prose-mos"),
                         [](const auto& info) {
                           return info.param == "prose-mos" ? "Student"
                                                            : "Teacher";
                         });

}  // namespace
}  // namespace moe
