#include "server/grpc/message_codec.h"

#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "proto/moe/v1/generation.pb.h"

namespace moe {
namespace {

grpc::ByteBuffer ToBytes(const std::string& text) {
  // In two slices, as they may arrive from the network.
  const grpc::Slice slices[] = {grpc::Slice(text.substr(0, text.size() / 2)),
                                grpc::Slice(text.substr(text.size() / 2))};
  return grpc::ByteBuffer(slices, 2);
}

TEST(MessageCodecTest, RoundTrip) {
  v1::GenerateRequest request;
  request.set_text("h\xC3\xA9llo");
  request.mutable_stopping()->add_stop("x");
  v1::GenerateRequest parsed;
  ASSERT_TRUE(ParseMessage(SerializeMessage(request), &parsed).ok());
  EXPECT_EQ(parsed.SerializeAsString(), request.SerializeAsString());
}

TEST(MessageCodecTest, InvalidUtf8IsTheCallersAndNamesTheField) {
  v1::GenerateRequest parsed;
  // Field 3 (text), 2 bytes.
  absl::Status status = ParseMessage(ToBytes("\x1a\x02\xff\xfe"), &parsed);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "text: is not valid UTF-8"));
  // Field 7 (stopping), in it field 3 (stop).
  status = ParseMessage(ToBytes("\x3a\x03\x1a\x01\xff"), &parsed);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(
      absl::StrContains(status.message(), "stopping.stop: is not valid UTF-8"));
}

TEST(MessageCodecTest, GarbageIsNoMessage) {
  v1::GenerateRequest parsed;
  const absl::Status status = ParseMessage(ToBytes("\x1a\x7f junk"), &parsed);
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_TRUE(absl::StrContains(status.message(), "moe.v1.GenerateRequest"));
}

// What gRPC passes on when the call ends before its request came.
TEST(MessageCodecTest, NoBytesAreACancel) {
  v1::GetModelRequest parsed;
  const absl::Status status = ParseMessage(grpc::ByteBuffer(), &parsed);
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
}

TEST(MessageCodecTest, NothingIsAnEmptyMessage) {
  v1::GetModelRequest parsed;
  EXPECT_TRUE(
      ParseMessage(SerializeMessage(v1::GetModelRequest()), &parsed).ok());
}

}  // namespace
}  // namespace moe
