// Limits on messages, metadata and silent connections, through real clients.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "server/grpc/connection_listener.h"
#include "server/grpc/grpc_server.h"
#include "tests/server/grpc/server_fixture.h"

namespace moe {
namespace {

using grpc::StatusCode;

class GrpcServerConnectionTest : public ServerFixture {};

TEST(GrpcServerLimitsTest, RequestsAboveTheBoundAreRefused) {
  FakeEngine engine;
  ByteTokenizer tokenizer;
  ServedModel model = FakeServedModel(engine, &tokenizer);
  model.limits.max_concurrent_requests = 1;
  TestServer server(model);
  v1::GenerateRequest request;
  request.set_text("hi");
  grpc::ClientContext context;
  const auto reader = server.inference().GenerateStream(&context, request);
  const std::string id = engine.WaitForRequest(0);
  grpc::ClientContext context2;
  SetDeadline(context2);
  const StreamResult refused =
      ReadAll(*server.inference().GenerateStream(&context2, request));
  EXPECT_EQ(refused.status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(HasDetail(refused.status, "RetryInfo"));
  engine.LastToken(id, 'x', FinishReason::kLength);
  engine.Done(id);
  EXPECT_TRUE(ReadAll(*reader).status.ok());
}

TEST(GrpcServerLimitsTest, LongerMessagesThanAllowedAreRefused) {
  FakeEngine engine;
  ByteTokenizer tokenizer;
  ListenConfig config;
  config.max_message_bytes = 64 << 10;
  TestServer server(FakeServedModel(engine, &tokenizer), config);
  v1::GenerateRequest request;
  request.set_text(std::string(65 << 10, 'x'));
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GenerateResponse response;
  EXPECT_EQ(
      server.inference().Generate(&context, request, &response).error_code(),
      StatusCode::RESOURCE_EXHAUSTED);
}

// The clients here take messages of 4 MiB, as clients do by default.
TEST(GrpcServerLimitsTest, LongOutputIsCutIntoChunksThatClientsTake) {
  FakeEngine engine(40000);
  ByteTokenizer tokenizer;
  TestServer server(FakeServedModel(engine, &tokenizer));
  v1::GenerateRequest request;
  request.set_text(std::string(32000, 'x'));
  request.mutable_output()->set_prompt_logprobs(20);
  request.mutable_stopping()->set_max_new_tokens(1);
  grpc::ClientContext context;
  SetDeadline(context);
  const auto reader = server.inference().GenerateStream(&context, request);
  const std::string id = engine.WaitForRequest(0);
  PromptEvent prompt;
  prompt.logprobs.resize(32000);
  for (SampledToken& token : prompt.logprobs) {
    token.token_id = 200;
    token.logprob = {200, -1, 5};
    token.top.assign(20, {201, -2, 6});
  }
  engine.Prompt(id, prompt);
  engine.LastToken(id, 'b', FinishReason::kLength);
  engine.Done(id);
  v1::GenerateChunk chunk;
  int num_chunks = 0;
  int num_tokens = 0;
  uint32_t num_prompt_tokens = 0;
  std::string text;
  while (reader->Read(&chunk)) {
    ++num_chunks;
    num_tokens += chunk.prompt().tokens_size();
    num_prompt_tokens += chunk.prompt().num_tokens();
    text += chunk.text();
  }
  const grpc::Status status = reader->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_GT(num_chunks, 1);
  EXPECT_EQ(num_tokens, 32000);
  EXPECT_EQ(num_prompt_tokens, 32000u);
  EXPECT_EQ(text, "b");
}

TEST(GrpcServerLimitsTest, AWholeAnswerThatCannotFitIsRefusedBeforeTheWork) {
  FakeEngine engine(16000);
  ByteTokenizer tokenizer;
  TestServer server(FakeServedModel(engine, &tokenizer));
  v1::GenerateRequest request;
  request.set_text("hi");
  request.mutable_sampling()->set_n(8);
  request.mutable_output()->set_logprobs(20);
  request.mutable_stopping()->set_max_new_tokens(8000);
  grpc::ClientContext context;
  SetDeadline(context);
  v1::GenerateResponse response;
  const grpc::Status status =
      server.inference().Generate(&context, request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(HasDetail(status, "BadRequest"));
  for (const char* part :
       {"stopping.max_new_tokens", "server.max_message_bytes"}) {
    EXPECT_TRUE(absl::StrContains(status.error_message(), part))
        << status.error_message();
  }
  EXPECT_EQ(engine.GetLoad().running, 0);
  // Its stream is served.
  grpc::ClientContext context2;
  SetDeadline(context2);
  const auto reader = server.inference().GenerateStream(&context2, request);
  const std::string id = engine.WaitForRequest(0);
  engine.Done(id, absl::UnavailableError("end of test"));
  EXPECT_EQ(ReadAll(*reader).status.error_code(), StatusCode::UNAVAILABLE);
}

// gRPC's own limit is 8 KiB.
TEST_F(GrpcServerConnectionTest, MuchMetadataDisturbsNoOtherCall) {
  const auto reader = Stream();  // on the same connection
  const std::string id = engine_.WaitForRequest(0);
  const auto list_models = [&](int num_metadata_bytes) {
    grpc::ClientContext context;
    SetDeadline(context);
    context.AddMetadata("x-much", std::string(num_metadata_bytes, 'm'));
    v1::ListModelsResponse list;
    return server_.inference().ListModels(&context, {}, &list);
  };
  const grpc::Status much = list_models(60 << 10);
  EXPECT_TRUE(much.ok()) << much.error_message();
  engine_.LastToken(id, 'b', FinishReason::kLength);
  engine_.Done(id);
  const StreamResult result = ReadAll(*reader);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  // gRPC 1.51 may close the connection for it, but the client hears why.
  const grpc::Status too_much = list_models(100 << 10);
  EXPECT_EQ(too_much.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(absl::StrContains(too_much.error_message(), "exceeds limit"))
      << too_much.error_message();
  EXPECT_TRUE(list_models(10).ok());
}

// A megabyte could become a gigabyte.
TEST_F(GrpcServerConnectionTest, CompressedRequestsAreRefused) {
  for (const grpc_compression_algorithm algorithm :
       {GRPC_COMPRESS_GZIP, GRPC_COMPRESS_DEFLATE}) {
    grpc::ClientContext context;
    SetDeadline(context);
    context.set_compression_algorithm(algorithm);
    v1::TokenizeRequest request;
    request.set_text(std::string(1 << 20, 'x'));
    v1::TokenizeResponse tokens;
    const grpc::Status status =
        server_.inference().Tokenize(&context, request, &tokens);
    EXPECT_EQ(status.error_code(), StatusCode::UNIMPLEMENTED);
    EXPECT_TRUE(absl::StrContains(status.error_message(), "ompression"))
        << status.error_message();
  }
}

// Passes bytes on between one client and a server, until it is told to keep
// them: as if the client's machine had vanished. The sockets stay open.
class Relay {
 public:
  explicit Relay(int server_port) {
    auto listener = ConnectionListener::Open("127.0.0.1", 0);
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    listener_->Start(absl::Minutes(1), [this, server_port](int client) {
      const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      sockaddr_in address = {};
      address.sin_family = AF_INET;
      address.sin_port = htons(static_cast<uint16_t>(server_port));
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      EXPECT_EQ(connect(server, reinterpret_cast<sockaddr*>(&address),
                        sizeof(address)),
                0);
      threads_.emplace_back([=, this] { Run(client, server); });
    });
  }
  ~Relay() {
    listener_.reset();
    stopping_ = true;
    for (std::thread& thread : threads_) thread.join();
  }
  int port() const { return listener_->port(); }
  void Vanish() { vanished_ = true; }

 private:
  void Run(int client, int server) {
    const int fds[2] = {client, server};
    char buffer[4096];
    while (!stopping_) {
      pollfd ready[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
      poll(ready, 2, /*timeout=*/10);
      for (int i = 0; i < 2; ++i) {
        if (ready[i].revents == 0) continue;
        const ssize_t size = read(fds[i], buffer, sizeof(buffer));
        if (size > 0 && !vanished_) {
          EXPECT_EQ(write(fds[1 - i], buffer, size), size);
        }
      }
    }
    close(client);
    close(server);
  }

  std::atomic<bool> vanished_ = false;
  std::atomic<bool> stopping_ = false;
  std::unique_ptr<ConnectionListener> listener_;
  std::vector<std::thread> threads_;
};

TEST(GrpcServerLimitsTest, ACallWhoseClientVanishedIsCancelled) {
  FakeEngine engine;
  ByteTokenizer tokenizer;
  ListenConfig config;
  config.keepalive_time = absl::Milliseconds(200);
  config.keepalive_timeout = absl::Milliseconds(500);
  TestServer server(FakeServedModel(engine, &tokenizer), config);
  Relay relay(server.server().port());
  const auto stub = v1::Inference::NewStub(
      grpc::CreateChannel(absl::StrCat("127.0.0.1:", relay.port()),
                          grpc::InsecureChannelCredentials()));
  v1::GenerateRequest request;
  request.set_text("hi");
  grpc::ClientContext context;
  const auto reader = stub->GenerateStream(&context, request);
  const std::string id = engine.WaitForRequest(0);
  engine.Text(id, "a");
  v1::GenerateChunk chunk;
  ASSERT_TRUE(reader->Read(&chunk));
  relay.Vanish();
  EXPECT_TRUE(engine.WaitForCancel(id));
  context.TryCancel();
  reader->Finish();
}

}  // namespace
}  // namespace moe
