#include "server/grpc/grpc_status.h"

#include <gtest/gtest.h>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "proto/rpc/error_details.pb.h"
#include "server/generation/request_errors.h"

namespace moe {
namespace {

// The only detail of `status`, whose type must be google.rpc.`name`.
template <typename Message>
Message OnlyDetail(const grpc::Status& status, const std::string& name) {
  rpc::Status details;
  EXPECT_TRUE(details.ParseFromString(status.error_details()));
  EXPECT_EQ(details.code(), status.error_code());
  EXPECT_EQ(details.message(), status.error_message());
  EXPECT_EQ(details.details_size(), 1);
  Message message;
  if (details.details_size() != 1) return message;
  EXPECT_EQ(details.details(0).type_url(),
            "type.googleapis.com/google.rpc." + name);
  EXPECT_TRUE(message.ParseFromString(details.details(0).value()));
  return message;
}

TEST(GrpcStatusTest, CodesAndMessagesAreKept) {
  EXPECT_TRUE(ToGrpcStatus(absl::OkStatus()).ok());
  const grpc::Status status = ToGrpcStatus(absl::DataLossError("bad file"));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DATA_LOSS);
  EXPECT_EQ(status.error_message(), "bad file");
  EXPECT_EQ(status.error_details(), "");
}

TEST(GrpcStatusTest, ViolationsBecomeABadRequest) {
  FieldViolations violations;
  violations.Add("sampling.n", "is 0");
  violations.Add("text", "is empty");
  const grpc::Status status = ToGrpcStatus(violations.ToStatus());
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(status.error_message(), "sampling.n: is 0; text: is empty");
  const auto detail = OnlyDetail<rpc::BadRequest>(status, "BadRequest");
  ASSERT_EQ(detail.field_violations_size(), 2);
  EXPECT_EQ(detail.field_violations(0).field(), "sampling.n");
  EXPECT_EQ(detail.field_violations(1).description(), "is empty");
}

TEST(GrpcStatusTest, StatusesFitHttp2Headers) {
  FieldViolations violations;
  for (int i = 0; i < 1000; ++i) violations.Add("logit_bias", "is nan");
  const grpc::Status status = ToGrpcStatus(violations.ToStatus());
  // Both are sent as headers; clients accept 8 KiB of them.
  EXPECT_LT(status.error_message().size() + status.error_details().size(),
            4096u);
}

TEST(GrpcStatusTest, ARetryDelayBecomesRetryInfo) {
  const absl::Duration delay = absl::Milliseconds(1500);
  const auto retry = OnlyDetail<rpc::RetryInfo>(
      ToGrpcStatus(
          WithRetryInfo(absl::ResourceExhaustedError("queue full"), delay)),
      "RetryInfo");
  EXPECT_EQ(retry.retry_delay().seconds(), 1);
  EXPECT_EQ(retry.retry_delay().nanos(), 500000000);
}

TEST(GrpcStatusTest, MissingResourcesAreNamed) {
  const auto resource = OnlyDetail<rpc::ResourceInfo>(
      ToGrpcStatus(ResourceNotFound("model", "x", "no x")), "ResourceInfo");
  EXPECT_EQ(resource.resource_type(), "model");
  EXPECT_EQ(resource.resource_name(), "x");
}

}  // namespace
}  // namespace moe
