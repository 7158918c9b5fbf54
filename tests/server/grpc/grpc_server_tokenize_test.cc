#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <tuple>

#include "absl/strings/match.h"
#include "server/grpc/grpc_server.h"
#include "tests/fakes/fake_engine.h"
#include "tests/server/grpc/test_server.h"

namespace moe {
namespace {

using grpc::StatusCode;

// Long text takes long, and gRPC may have only two threads for all calls: it is
// tokenized on a separate thread.
TEST(GrpcServerTokenizeTest, LongTextIsTokenizedOnAThreadOfItsOwn) {
  struct Noting : ByteTokenizer {
    absl::StatusOr<Encoding> Encode(
        absl::string_view text, const EncodeOptions& options) const override {
      thread = std::this_thread::get_id();
      return ByteTokenizer::Encode(text, options);
    }
    mutable std::atomic<std::thread::id> thread;
  } tokenizer;
  FakeEngine engine;
  TestServer server(FakeServedModel(engine, &tokenizer));
  const auto thread_for = [&](const std::string& text) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::TokenizeRequest request;
    request.set_text(text);
    v1::TokenizeResponse tokens;
    const grpc::Status status =
        server.inference().Tokenize(&context, request, &tokens);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(tokens.token_ids_size(), static_cast<int>(text.size()));
    return tokenizer.thread.load();
  };
  const std::string document(200 << 10, 'x');
  const std::thread::id own = thread_for(document);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(thread_for(document), own);
    EXPECT_NE(thread_for("short"), own);
  }
}

TEST(GrpcServerTokenizeTest, TextWhoseAnswerIsTooLongIsRefusedWithTheLimit) {
  FakeEngine engine;
  ByteTokenizer tokenizer;
  ListenConfig config;
  config.max_message_bytes = 100000;
  TestServer server(FakeServedModel(engine, &tokenizer), config);
  for (const auto& [size, code, what] :
       {std::tuple(25001, StatusCode::INVALID_ARGUMENT, "at most 25000"),
        std::tuple(25000, StatusCode::RESOURCE_EXHAUSTED,
                   "server.max_message_bytes is 100000"),
        std::tuple(10000, StatusCode::OK, "")}) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::TokenizeRequest request;
    request.set_text(std::string(size, 'x'));
    v1::TokenizeResponse tokens;
    const grpc::Status status =
        server.inference().Tokenize(&context, request, &tokens);
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_TRUE(absl::StrContains(status.error_message(), what))
        << status.error_message();
  }
}

}  // namespace
}  // namespace moe
