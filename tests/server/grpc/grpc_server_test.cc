#include "server/grpc/grpc_server.h"

#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kernels/core/steady_clock.h"
#include "server/logging/log.h"
#include "tests/server/grpc/server_fixture.h"

namespace moe {
namespace {

using grpc::StatusCode;

class GrpcServerTest : public ServerFixture {
 protected:
  // Generate on another thread, since the call waits for its answer.
  std::thread GenerateAsync(grpc::Status* status,
                            v1::GenerateResponse* response) {
    return std::thread([=, this] { *status = Generate(response); });
  }
};

TEST_F(GrpcServerTest, StreamsTextAsItComes) {
  request_.set_request_id("my-id");
  const auto reader = Stream();
  const std::string id = engine_.WaitForRequest(0);
  EXPECT_EQ(engine_.request(id).prompt, (std::vector<int32_t>{'h', 'i'}));
  engine_.Prompt(id);
  engine_.Text(id, "a");
  v1::GenerateChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));  // before the answer has ended
  EXPECT_EQ(chunk.request_id(), "my-id");
  EXPECT_EQ(chunk.prompt().num_tokens(), 2u);
  EXPECT_EQ(chunk.text(), "a");
  engine_.LastToken(id, 'b', FinishReason::kLength);
  engine_.Done(id);
  const StreamResult rest = ReadAll(*reader);
  EXPECT_TRUE(rest.status.ok()) << rest.status.error_message();
  EXPECT_EQ(rest.text, "b");
  EXPECT_EQ(rest.num_finishes, 1);
  const auto& metadata = context_.GetServerInitialMetadata();
  ASSERT_EQ(metadata.count("x-request-id"), 1u);
  EXPECT_EQ(metadata.find("x-request-id")->second, "my-id");
}

TEST_F(GrpcServerTest, GenerateGivesTheWholeAnswer) {
  request_.mutable_sampling()->set_n(2);
  request_.mutable_output()->set_timing(true);
  grpc::Status status;
  v1::GenerateResponse response;
  std::thread call = GenerateAsync(&status, &response);
  const std::string id = engine_.WaitForRequest(0);
  EXPECT_EQ(engine_.request(id).num_answers, 2);
  engine_.Prompt(id);
  engine_.Text(id, "xy", 1);
  engine_.Text(id, "a", 0);
  engine_.LastToken(id, 'z', FinishReason::kLength, 1);
  engine_.LastToken(id, ByteTokenizer::kEos, FinishReason::kStop, 0);
  engine_.Done(id);
  call.join();
  ASSERT_TRUE(status.ok()) << status.error_message();
  ASSERT_EQ(response.answers_size(), 2);
  EXPECT_FALSE(response.request_id().empty());
  EXPECT_EQ(response.answers(0).text(), "a");
  EXPECT_EQ(response.answers(0).finish().reason(), v1::Finish::STOP);
  EXPECT_EQ(response.answers(1).index(), 1u);
  EXPECT_EQ(response.answers(1).text(), "xyz");
  EXPECT_EQ(response.timing().total_seconds(), 4);
}

TEST_F(GrpcServerTest, TheRequestIdMayComeAsMetadata) {
  context_.AddMetadata("x-request-id", "from-proxy");
  const auto reader = Stream();
  const std::string id = engine_.WaitForRequest(0);
  EXPECT_TRUE(absl::StartsWith(id, "from-proxy"));
  engine_.LastToken(id, 'b', FinishReason::kLength);
  engine_.Done(id);
  EXPECT_EQ(ReadAll(*reader).request_id, "from-proxy");
}

// A bad id from a proxy is no reason to refuse a request.
TEST_F(GrpcServerTest, ABadRequestIdOfMetadataIsReplaced) {
  for (const std::string& bad :
       {std::string("two words"), std::string(500, 'x')}) {
    grpc::ClientContext context;
    SetDeadline(context);
    context.AddMetadata("x-request-id", bad);
    const auto reader = server_.inference().GenerateStream(&context, request_);
    const std::string id = engine_.WaitForRequest(bad.size() == 500);
    engine_.LastToken(id, 'b', FinishReason::kLength);
    engine_.Done(id);
    const StreamResult result = ReadAll(*reader);
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
    EXPECT_FALSE(result.request_id.empty());
    EXPECT_NE(result.request_id, bad);
  }
}

TEST_F(GrpcServerTest, ARequestIdMustBeLoggable) {
  request_.set_request_id("two words");
  v1::GenerateResponse response;
  const grpc::Status status = Generate(&response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(absl::StrContains(status.error_message(), "request_id"));
}

TEST_F(GrpcServerTest, CancellingACallCancelsTheRequest) {
  const auto reader = Stream();
  const std::string id = engine_.WaitForRequest(0);
  engine_.Text(id, "a");
  v1::GenerateChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  context_.TryCancel();
  EXPECT_TRUE(engine_.WaitForCancel(id));
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::CANCELLED);
}

TEST_F(GrpcServerTest, ADisconnectCancelsTheRequest) {
  auto channel = server_.NewChannel();
  auto stub = v1::Inference::NewStub(channel);
  auto context = std::make_unique<grpc::ClientContext>();
  auto reader = stub->GenerateStream(context.get(), request_);
  const std::string id = engine_.WaitForRequest(0);
  engine_.Text(id, "a");
  v1::GenerateChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  reader.reset();
  context.reset();
  stub.reset();
  channel.reset();
  EXPECT_TRUE(engine_.WaitForCancel(id));
}

TEST_F(GrpcServerTest, TheDeadlineReachesTheEngine) {
  const absl::Time before = SteadyNow();
  context_.set_deadline(std::chrono::system_clock::now() +
                        std::chrono::milliseconds(300));
  const auto reader = Stream();
  const std::string id = engine_.WaitForRequest(0);
  const absl::Duration left = engine_.request(id).deadline - before;
  EXPECT_GT(left, absl::ZeroDuration());
  EXPECT_LE(left, absl::Seconds(1));
  EXPECT_TRUE(engine_.WaitForCancel(id));
  EXPECT_EQ(reader->Finish().error_code(), StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(GrpcServerTest, AFullQueueSaysWhenToTryAgain) {
  engine_.set_submit_status(absl::ResourceExhaustedError("the queue is full"));
  const StreamResult result = ReadAll(*Stream());
  EXPECT_EQ(result.status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(result.status.error_message(), "the queue is full");
  EXPECT_TRUE(HasDetail(result.status, "RetryInfo"));
}

TEST_F(GrpcServerTest, BadRequestsNameTheirFields) {
  request_.mutable_sampling()->set_n(0);
  v1::GenerateResponse response;
  for (const grpc::Status& status :
       {Generate(&response), ReadAll(*Stream()).status}) {
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
    EXPECT_TRUE(absl::StrContains(status.error_message(), "sampling.n is 0") ||
                absl::StrContains(status.error_message(), "sampling.n: is 0"));
    EXPECT_TRUE(HasDetail(status, "BadRequest"));
  }
}

TEST_F(GrpcServerTest, AnotherModelIsNotFound) {
  request_.set_model("other");
  v1::GenerateResponse response;
  const grpc::Status status = Generate(&response);
  EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_TRUE(HasDetail(status, "ResourceInfo"));
}

// Statuses are sent as headers, and clients limit the size of headers.
TEST_F(GrpcServerTest, StatusesFitHeadersWhateverWasSent) {
  request_.set_model(std::string(1 << 20, 'x'));
  v1::GenerateResponse response;
  EXPECT_EQ(Generate(&response).error_code(), StatusCode::NOT_FOUND);
  request_.clear_model();
  for (uint32_t id = 1000; id < 3000; ++id) {
    (*request_.mutable_penalties()->mutable_logit_bias())[id] = 1;
  }
  const grpc::Status status = Generate(&response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT)
      << status.error_message();
  EXPECT_TRUE(HasDetail(status, "BadRequest"));
}

// Other clients may send bytes that are not UTF-8; gRPC itself would answer
// INTERNAL.
TEST_F(GrpcServerTest, TextThatIsNotUtf8IsInvalid) {
  grpc::GenericStub stub(server_.NewChannel());
  grpc::CompletionQueue queue;
  const grpc::Slice bytes(std::string("\x1a\x02\xff\xfe"));
  for (const char* method : {"Generate", "GenerateStream"}) {
    grpc::ClientContext context;
    SetDeadline(context);
    auto call = stub.PrepareUnaryCall(
        &context, absl::StrCat("/moe.v1.Inference/", method),
        grpc::ByteBuffer(&bytes, 1), &queue);
    call->StartCall();
    grpc::ByteBuffer response;
    grpc::Status status;
    call->Finish(&response, &status, nullptr);
    void* tag;
    bool ok;
    ASSERT_TRUE(queue.Next(&tag, &ok));
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT) << method;
    EXPECT_EQ(status.error_message(), "text: is not valid UTF-8");
  }
  queue.Shutdown();
}

TEST_F(GrpcServerTest, AnEngineFailureEndsTheStreamButKeepsItsText) {
  const auto reader = Stream();
  const std::string id = engine_.WaitForRequest(0);
  engine_.Text(id, "ab");
  engine_.Done(id, absl::UnavailableError("step 7 failed"));
  const StreamResult result = ReadAll(*reader);
  EXPECT_EQ(result.text, "ab");
  EXPECT_EQ(result.num_finishes, 0);
  EXPECT_EQ(result.status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(result.status.error_message(), "step 7 failed");
}

TEST_F(GrpcServerTest, TokenizeAndDetokenizeAreInverse) {
  grpc::ClientContext context;
  v1::TokenizeRequest request;
  request.set_text("h\xC3\xA9");
  v1::TokenizeResponse tokens;
  ASSERT_TRUE(server_.inference().Tokenize(&context, request, &tokens).ok());
  EXPECT_EQ(tokens.token_ids_size(), 3);
  EXPECT_EQ(tokens.tokens(2), "\xA9");
  grpc::ClientContext context2;
  v1::DetokenizeRequest back;
  *back.mutable_token_ids() = tokens.token_ids();
  v1::DetokenizeResponse text;
  ASSERT_TRUE(server_.inference().Detokenize(&context2, back, &text).ok());
  EXPECT_EQ(text.text(), "h\xC3\xA9");
  back.add_token_ids(300);
  grpc::ClientContext context3;
  EXPECT_EQ(server_.inference().Detokenize(&context3, back, &text).error_code(),
            StatusCode::INVALID_ARGUMENT);
}

// Also a request that is refused before it has an id.
TEST_F(GrpcServerTest, EveryRefusedRequestIsLogged) {
  request_.set_request_id("two words");
  v1::GenerateResponse response;
  testing::internal::CaptureStderr();
  EXPECT_EQ(Generate(&response).error_code(), StatusCode::INVALID_ARGUMENT);
  FlushLog(absl::Seconds(30));
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_TRUE(absl::StrContains(log,
                                "event=request_refused request_id=\"\" "
                                "status=INVALID_ARGUMENT"))
      << log;
}

TEST_F(GrpcServerTest, DescribesItsModel) {
  grpc::ClientContext context;
  v1::ListModelsResponse list;
  ASSERT_TRUE(server_.inference().ListModels(&context, {}, &list).ok());
  ASSERT_EQ(list.models_size(), 1);
  const v1::Model& model = list.models(0);
  EXPECT_EQ(model.name(), "fake");
  EXPECT_TRUE(model.has_tokenizer());
  EXPECT_EQ(model.vocab_size(), 257u);
  ASSERT_EQ(model.experts_per_layer_size(), 2);
  EXPECT_EQ(model.experts_per_layer(1), 4u);
  EXPECT_EQ(model.eos_token_ids(0), 256u);
  EXPECT_TRUE(model.defaults().sampling().has_temperature());
  EXPECT_FALSE(model.defaults().sampling().has_seed());
  EXPECT_EQ(model.limits().max_answers(), 16u);
}

TEST_F(GrpcServerTest, APortInUseIsAnError) {
  ListenConfig config;
  config.port = server_.server().port();
  const auto second = GrpcServer::Start(config, server_.core());
  EXPECT_TRUE(absl::IsUnavailable(second.status())) << second.status();
}

}  // namespace
}  // namespace moe
