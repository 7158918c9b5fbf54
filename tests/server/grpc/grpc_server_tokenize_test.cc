#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "kernels/core/status_macros.h"
#include "server/grpc/grpc_server.h"
#include "server/text/stop_signal.h"
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

// Few bytes of ids can stand for much text.
TEST(GrpcServerTokenizeTest, TokensWhoseTextIsTooLongAreRefusedUndecoded) {
  struct Counting : ByteTokenizer {
    absl::string_view TokenBytes(int32_t id) const override {
      ++num_read;
      return ByteTokenizer::TokenBytes(id);
    }
    mutable std::atomic<int> num_read = 0;
  } tokenizer;
  FakeEngine engine;
  ListenConfig config;
  config.max_message_bytes = 64 << 10;
  TestServer server(FakeServedModel(engine, &tokenizer), config);
  const auto detokenize = [&](int num_ids, uint32_t id) {
    grpc::ClientContext context;
    SetDeadline(context);
    v1::DetokenizeRequest request;
    for (int i = 0; i < num_ids; ++i) request.add_token_ids(id);
    v1::DetokenizeResponse text;
    return server.inference().Detokenize(&context, request, &text);
  };
  EXPECT_TRUE(detokenize(13000, ByteTokenizer::kEos).ok());  // 5 bytes each
  tokenizer.num_read = 0;
  const grpc::Status long_text = detokenize(14000, ByteTokenizer::kEos);
  EXPECT_EQ(long_text.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(absl::StrContains(long_text.error_message(), "70000 bytes"))
      << long_text.error_message();
  EXPECT_TRUE(absl::StrContains(long_text.error_message(),
                                "server.max_message_bytes, 65536"))
      << long_text.error_message();
  EXPECT_TRUE(HasDetail(long_text, "BadRequest"));
  EXPECT_EQ(tokenizer.num_read, 14000);  // added up, not decoded
  // Each of these bytes becomes U+FFFD, which has three.
  const grpc::Status grown = detokenize(30000, 0xff);
  EXPECT_EQ(grown.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_TRUE(absl::StrContains(grown.error_message(), "90004 bytes"))
      << grown.error_message();
}

// A tokenizer that is busy, with text that starts with '!' or with its id,
// until the call is cancelled or `release` is called.
class BusyTokenizer : public ByteTokenizer {
 public:
  absl::StatusOr<Encoding> Encode(absl::string_view text,
                                  const EncodeOptions& options) const override {
    if (!absl::StartsWith(text, "!")) {
      return ByteTokenizer::Encode(text, options);
    }
    ++num_entered_;
    while (!released_) RETURN_IF_ERROR(StopSignal::Check(options.stop));
    return ByteTokenizer::Encode(text, options);
  }
  absl::string_view TokenBytes(int32_t id) const override {
    if (id == '!' && reading_is_slow_) {
      ++num_entered_;
      while (!released_) std::this_thread::yield();
    }
    return ByteTokenizer::TokenBytes(id);
  }
  void WaitUntilEntered(int number) const {
    while (num_entered_ < number) std::this_thread::yield();
  }
  void release() { released_ = true; }
  // The server itself reads the vocabulary at its start.
  void SlowDownReading() { reading_is_slow_ = true; }

 private:
  mutable std::atomic<int> num_entered_ = 0;
  std::atomic<bool> released_ = false;
  std::atomic<bool> reading_is_slow_ = false;
};

// Calls on threads of their own, which the test can cancel.
class Calls {
 public:
  template <typename Call>
  void Add(Call call) {
    grpc::ClientContext& context = contexts_.emplace_back();
    grpc::Status& status = statuses_.emplace_back();
    threads_.emplace_back([=, &context, &status] { status = call(context); });
  }
  void Cancel() {
    for (grpc::ClientContext& context : contexts_) context.TryCancel();
  }
  // The statuses, once all calls have ended.
  const std::deque<grpc::Status>& Join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
    return statuses_;
  }

 private:
  std::deque<grpc::ClientContext> contexts_;
  std::deque<grpc::Status> statuses_;
  std::vector<std::thread> threads_;
};

class GrpcServerLongTextTest : public testing::Test {
 protected:
  GrpcServerLongTextTest() : engine_(8192) {}

  auto TokenizeCall(const std::string& text) {
    return [this, text](grpc::ClientContext& context) {
      v1::TokenizeRequest request;
      request.set_text(text);
      v1::TokenizeResponse tokens;
      return server_.inference().Tokenize(&context, request, &tokens);
    };
  }
  grpc::Status Tokenize(const std::string& text) {
    grpc::ClientContext context;
    SetDeadline(context);
    return TokenizeCall(text)(context);
  }

  const std::string long_text_ = "!" + std::string(400 << 10, 'x');
  FakeEngine engine_;
  BusyTokenizer tokenizer_;
  TestServer server_{FakeServedModel(engine_, &tokenizer_)};
};

TEST_F(GrpcServerLongTextTest, CancelledCallsAreDroppedWhereTheyStand) {
  Calls calls;
  calls.Add(TokenizeCall(long_text_));
  tokenizer_.WaitUntilEntered(1);
  for (int i = 0; i < 5; ++i) calls.Add(TokenizeCall(long_text_));
  // Shorter text does not wait for them.
  EXPECT_TRUE(Tokenize(std::string(100 << 10, 'x')).ok());
  calls.Cancel();
  for (const grpc::Status& status : calls.Join()) {
    EXPECT_EQ(status.error_code(), StatusCode::CANCELLED);
  }
  // Nothing has released the tokenizer, and yet the thread is free again.
  EXPECT_TRUE(Tokenize(std::string(400 << 10, 'x')).ok());
}

TEST_F(GrpcServerLongTextTest, ADeadlineEndsTheTokenizing) {
  Calls calls;
  calls.Add([call = TokenizeCall(long_text_)](grpc::ClientContext& context) {
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::milliseconds(300));
    return call(context);
  });
  EXPECT_EQ(calls.Join()[0].error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_TRUE(Tokenize(std::string(400 << 10, 'x')).ok());
}

// Prompts are tokenized too.
TEST_F(GrpcServerLongTextTest, ACancelledPromptIsDroppedAndOthersAreServed) {
  v1::GenerateRequest request;
  request.set_text(long_text_);
  request.set_truncate_prompt_tokens(10);
  request.mutable_stopping()->set_max_new_tokens(1);
  Calls calls;
  calls.Add([&](grpc::ClientContext& context) {
    v1::GenerateResponse response;
    return server_.inference().Generate(&context, request, &response);
  });
  calls.Add([&](grpc::ClientContext& context) {
    return ReadAll(*server_.inference().GenerateStream(&context, request))
        .status;
  });
  tokenizer_.WaitUntilEntered(1);
  EXPECT_TRUE(Tokenize("short").ok());
  calls.Cancel();
  for (const grpc::Status& status : calls.Join()) {
    EXPECT_EQ(status.error_code(), StatusCode::CANCELLED);
  }
  // A prompt that is tokenized on another thread is answered like others.
  request.set_text(std::string(400 << 10, 'x'));
  Calls served;
  served.Add([&](grpc::ClientContext& context) {
    SetDeadline(context);
    return ReadAll(*server_.inference().GenerateStream(&context, request))
        .status;
  });
  const std::string id = engine_.WaitForRequest(0);
  engine_.LastToken(id, 'b', FinishReason::kLength);
  engine_.Done(id);
  const grpc::Status status = served.Join()[0];
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_F(GrpcServerLongTextTest, LongDetokenizingLeavesGrpcsThreadsFree) {
  tokenizer_.SlowDownReading();
  Calls calls;
  for (int i = 0; i < 16; ++i) {
    calls.Add([&](grpc::ClientContext& context) {
      v1::DetokenizeRequest request;
      for (int j = 0; j < 20000; ++j) request.add_token_ids('!');
      v1::DetokenizeResponse text;
      return server_.inference().Detokenize(&context, request, &text);
    });
  }
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext context;
    SetDeadline(context);
    grpc::health::v1::HealthCheckResponse health;
    EXPECT_TRUE(server_.health().Check(&context, {}, &health).ok());
  }
  tokenizer_.release();
  for (const grpc::Status& status : calls.Join()) {
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
}

// A queue of 8 messages of 64 KiB.
TEST(GrpcServerTokenizeTest, AFullQueueSaysWhenToTryAgain) {
  FakeEngine engine;
  BusyTokenizer tokenizer;
  ListenConfig config;
  config.max_message_bytes = 64 << 10;
  TestServer server(FakeServedModel(engine, &tokenizer), config);
  tokenizer.SlowDownReading();
  Calls calls;
  std::atomic<int> num_refused = 0;
  for (int i = 0; i < 12; ++i) {
    if (i == 1) tokenizer.WaitUntilEntered(1);
    calls.Add([&](grpc::ClientContext& context) {
      v1::DetokenizeRequest request;
      for (int j = 0; j < 60 << 10; ++j) request.add_token_ids('!');
      v1::DetokenizeResponse text;
      const grpc::Status status =
          server.inference().Detokenize(&context, request, &text);
      if (status.ok()) return status;
      EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
      EXPECT_TRUE(HasDetail(status, "RetryInfo"));
      ++num_refused;
      return status;
    });
  }
  while (num_refused < 3) std::this_thread::yield();  // one runs, 8 wait
  tokenizer.release();
  calls.Join();
  EXPECT_EQ(num_refused, 3);
}

}  // namespace
}  // namespace moe
