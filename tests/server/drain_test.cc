#include "server/drain.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "tests/server/fake_engine.h"
#include "tests/server/test_server.h"

namespace moe {
namespace {

class DrainTest : public testing::Test {
 protected:
  DrainTest() {
    SetPatience(context_);
    request_.set_text("hi");
    reader_ = server_.inference().GenerateStream(&context_, request_);
    id_ = engine_.WaitForRequest(0);
  }

  FakeEngine engine_;
  ByteTokenizer tokenizer_;
  TestServer server_{FakeServedModel(engine_, &tokenizer_)};
  grpc::ClientContext context_;
  v1::GenerateRequest request_;
  std::unique_ptr<grpc::ClientReader<v1::GenerateChunk>> reader_;
  std::string id_;
};

TEST_F(DrainTest, WaitsForRunningRequests) {
  auto drained = std::async(std::launch::async, [this] {
    return DrainServer(absl::Seconds(30), server_.core(), server_.server());
  });
  while (!server_.core().draining()) std::this_thread::yield();
  engine_.LastToken(id_, 'a', FinishReason::kLength);
  engine_.Done(id_);
  const StreamResult result = ReadAll(*reader_);
  EXPECT_TRUE(result.status.ok()) << result.status.error_message();
  EXPECT_EQ(result.text, "a");
  EXPECT_TRUE(drained.get());
}

TEST_F(DrainTest, EndsTheRestWhenTheGraceHasRunOut) {
  engine_.Text(id_, "a");
  EXPECT_FALSE(
      DrainServer(absl::Milliseconds(50), server_.core(), server_.server()));
  const StreamResult result = ReadAll(*reader_);
  EXPECT_EQ(result.text, "a");
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::UNAVAILABLE);
}

}  // namespace
}  // namespace moe
