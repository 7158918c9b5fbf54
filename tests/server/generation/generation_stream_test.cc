#include "server/generation/generation_stream.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tests/fakes/fake_engine.h"
#include "tests/fakes/held_writer.h"

namespace moe {
namespace {

class GenerationStreamTest : public testing::Test {
 protected:
  GenerationStreamTest() { proto_.set_text("hi"); }

  void Start() {
    auto converted = ConvertRequest(proto_, model_);
    ASSERT_TRUE(converted.ok()) << converted.status();
    stream_ = std::make_shared<GenerationStream>(
        GenerationStream::Options{"id", "id#1", absl::Seconds(1)}, *converted,
        model_, delivery_, writer_,
        [this](const GenerationSummary& summary) { summary_ = summary; });
    Request request = converted->request;
    request.id = "id#1";
    ASSERT_TRUE(engine_.Submit(request, stream_).ok());
  }

  FakeEngine engine_;
  ByteTokenizer tokenizer_;
  ServedModel model_ = FakeServedModel(engine_, &tokenizer_);
  HeldWriter writer_;
  std::optional<GenerationSummary> summary_;
  v1::GenerateRequest proto_;
  std::shared_ptr<GenerationStream> stream_;
  // Destroyed first: its thread uses the others.
  SerialExecutor delivery_;
};

TEST_F(GenerationStreamTest, TokensThatComeDuringAWriteShareTheNextChunk) {
  Start();
  engine_.Text("id#1", "a");
  EXPECT_EQ(writer_.WaitForChunk(0).text(), "a");
  engine_.Text("id#1", "bcd");
  stream_->OnWritten(true);
  EXPECT_EQ(writer_.WaitForChunk(1).text(), "bcd");
  engine_.LastToken("id#1", 'e', FinishReason::kLength);
  engine_.Done("id#1");
  stream_->OnWritten(true);
  const v1::GenerateChunk last = writer_.WaitForChunk(2);
  EXPECT_EQ(last.text(), "e");
  EXPECT_EQ(last.finish().reason(), v1::Finish::LENGTH);
  EXPECT_FALSE(writer_.ended());  // not before the write is done
  stream_->OnWritten(true);
  EXPECT_TRUE(writer_.WaitForEnd().ok());
  EXPECT_EQ(writer_.num_chunks(), 3u);
  ASSERT_TRUE(summary_.has_value());
  EXPECT_EQ(summary_->num_prompt_tokens, 2);
  EXPECT_EQ(summary_->num_new_tokens, 5);
  EXPECT_EQ(summary_->finish, "length");
}

TEST_F(GenerationStreamTest, AStopStringCancelsTheAnswerInTheEngine) {
  proto_.mutable_stopping()->add_stop("END");
  Start();
  engine_.Text("id#1", "a");
  std::string text = writer_.WaitForChunk(0).text();
  engine_.Text("id#1", "END");
  stream_->OnWritten(true);
  EXPECT_TRUE(engine_.WaitForCancelAnswer("id#1", 0));
  engine_.Text("id#1", "late");
  // The client has its whole answer, so the engine's status does not matter.
  engine_.Done("id#1", absl::CancelledError("cancelled"));
  size_t n = 1;
  while (true) {
    const v1::GenerateChunk chunk = writer_.WaitForChunk(n++);
    text += chunk.text();
    stream_->OnWritten(true);
    if (chunk.has_finish() || testing::Test::HasFailure()) break;
  }
  EXPECT_EQ(text, "a");
  EXPECT_TRUE(writer_.WaitForEnd().ok());
}

TEST_F(GenerationStreamTest, AFailedWriteCancelsTheRequest) {
  Start();
  engine_.Text("id#1", "a");
  writer_.WaitForChunk(0);
  stream_->OnWritten(false);
  EXPECT_TRUE(engine_.WaitForCancel("id#1"));
  EXPECT_TRUE(absl::IsCancelled(writer_.WaitForEnd()));
  EXPECT_EQ(writer_.num_chunks(), 1u);
}

TEST_F(GenerationStreamTest, CancelReachesTheEngine) {
  Start();
  stream_->Cancel();
  EXPECT_TRUE(engine_.WaitForCancel("id#1"));
  EXPECT_TRUE(absl::IsCancelled(writer_.WaitForEnd()));
}

TEST_F(GenerationStreamTest, FailureBeforeTheFirstTokenSaysThatARetryIsSafe) {
  Start();
  engine_.Done("id#1", absl::UnavailableError("engine failed"));
  EXPECT_TRUE(writer_.WaitForEnd()
                  .GetPayload("type.googleapis.com/google.rpc.RetryInfo")
                  .has_value());
}

TEST_F(GenerationStreamTest, FailureAfterATokenKeepsWhatWasSent) {
  Start();
  engine_.Text("id#1", "a");
  writer_.WaitForChunk(0);
  engine_.Text("id#1", "b");
  engine_.Done("id#1", absl::UnavailableError("engine failed"));
  stream_->OnWritten(true);
  EXPECT_EQ(writer_.WaitForChunk(1).text(), "b");
  stream_->OnWritten(true);
  const absl::Status status = writer_.WaitForEnd();
  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_FALSE(status.GetPayload("type.googleapis.com/google.rpc.RetryInfo")
                   .has_value());
}

// The engine must never wait for a client: it sends 20000 tokens while one
// write blocks.
TEST_F(GenerationStreamTest, AHangingClientDoesNotHoldUpTheEngine) {
  Start();
  engine_.Text("id#1", "a");
  writer_.WaitForChunk(0);
  for (int i = 0; i < 20000; ++i) engine_.Text("id#1", "x");
  engine_.Done("id#1", absl::UnavailableError("end"));
  EXPECT_EQ(writer_.num_chunks(), 1u);
  stream_->OnWritten(true);
  EXPECT_EQ(writer_.WaitForChunk(1).text(), std::string(20000, 'x'));
  stream_->OnWritten(true);
  EXPECT_TRUE(absl::IsUnavailable(writer_.WaitForEnd()));
}

// The engine is done, but the client did not get the end.
TEST_F(GenerationStreamTest, TheSummaryTellsThatTheClientLeft) {
  Start();
  engine_.LastToken("id#1", 'a', FinishReason::kLength);
  engine_.Done("id#1");
  writer_.WaitForChunk(0);
  stream_->OnWritten(false);
  EXPECT_TRUE(absl::IsCancelled(writer_.WaitForEnd()));
  ASSERT_TRUE(summary_.has_value());
  EXPECT_TRUE(absl::IsCancelled(summary_->status)) << summary_->status;
}

}  // namespace
}  // namespace moe
