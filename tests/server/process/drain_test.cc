#include "server/process/drain.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <thread>

#include "absl/time/time.h"
#include "tests/fakes/fake_engine.h"
#include "tests/fakes/held_writer.h"
#include "tests/server/grpc/test_server.h"

namespace moe {
namespace {

class DrainTest : public testing::Test {
 protected:
  DrainTest() {
    SetDeadline(context_);
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

// Health.Watch never ends by itself.
TEST_F(DrainTest, DoesNotWaitForWatchers) {
  grpc::ClientContext context;
  const auto watch = server_.health().Watch(&context, {});
  grpc::health::v1::HealthCheckResponse health;
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), health.SERVING);
  engine_.LastToken(id_, 'a', FinishReason::kLength);
  engine_.Done(id_);
  EXPECT_TRUE(ReadAll(*reader_).status.ok());
  // Longer than the test's time limit.
  EXPECT_TRUE(DrainServer(absl::Hours(1), server_.core(), server_.server()));
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), health.NOT_SERVING);
}

TEST_F(DrainTest, AnAnswerThatIsNotTakenIsNotFinished) {
  HeldWriter writer;
  const auto stream = server_.core().Start(request_, "held", {}, writer);
  ASSERT_TRUE(stream.ok()) << stream.status();
  for (const std::string& id : {id_, engine_.WaitForRequest(1)}) {
    engine_.LastToken(id, 'a', FinishReason::kLength);
    engine_.Done(id);
  }
  writer.WaitForChunk(0);
  EXPECT_TRUE(ReadAll(*reader_).status.ok());
  EXPECT_FALSE(
      DrainServer(absl::Milliseconds(50), server_.core(), server_.server()));
  EXPECT_FALSE(writer.ended());
  for (size_t chunk = 0; chunk < writer.num_chunks(); ++chunk) {
    (*stream)->OnWritten(/*ok=*/true);
  }
  EXPECT_TRUE(writer.ended());
}

}  // namespace
}  // namespace moe
