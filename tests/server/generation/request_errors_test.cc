#include "server/generation/request_errors.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "proto/rpc/error_details.pb.h"

namespace moe {
namespace {

// The payload google.rpc.`name` of `status`.
template <typename Message>
Message Detail(const absl::Status& status, const std::string& name) {
  const auto payload =
      status.GetPayload(absl::StrCat(kErrorDetailPrefix, name));
  EXPECT_TRUE(payload.has_value()) << status;
  Message message;
  if (payload.has_value()) {
    EXPECT_TRUE(message.ParseFromString(std::string(*payload)));
  }
  return message;
}

TEST(RequestErrorsTest, NoViolationsAreOk) {
  EXPECT_TRUE(FieldViolations().ToStatus().ok());
}

TEST(RequestErrorsTest, ViolationsKeepTheirOrder) {
  FieldViolations violations;
  violations.Add("sampling.n", "is 0");
  violations.Add("text", "is empty");
  const absl::Status status = violations.ToStatus();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "sampling.n: is 0; text: is empty");
  const auto detail = Detail<rpc::BadRequest>(status, "BadRequest");
  ASSERT_EQ(detail.field_violations_size(), 2);
  EXPECT_EQ(detail.field_violations(0).field(), "sampling.n");
  EXPECT_EQ(detail.field_violations(1).description(), "is empty");
}

TEST(RequestErrorsTest, TooManyViolationsAreCounted) {
  FieldViolations violations;
  for (int i = 0; i < 1000; ++i) violations.Add("logit_bias", "is nan");
  const absl::Status status = violations.ToStatus();
  const auto detail = Detail<rpc::BadRequest>(status, "BadRequest");
  EXPECT_EQ(detail.field_violations_size(), FieldViolations::kMaxViolations);
  EXPECT_TRUE(absl::EndsWith(status.message(), "; and 984 more")) << status;
}

TEST(RequestErrorsTest, ShortensAtACharacter) {
  EXPECT_EQ(Shorten("short"), "short");
  const std::string most(kMaxShownBytes, 'x');
  EXPECT_EQ(Shorten(most), most);
  EXPECT_EQ(Shorten(most + "x"), most + "...");
  // Three bytes, of which only two would fit.
  const std::string ends_inside = most.substr(2) + "\u20ac" + "yy";
  EXPECT_EQ(Shorten(ends_inside), most.substr(2) + "...");
}

TEST(RequestErrorsTest, OnlyTransientErrorsGetARetryDelay) {
  const absl::Duration delay = absl::Milliseconds(1500);
  for (const absl::Status& status : {absl::ResourceExhaustedError("queue full"),
                                     absl::UnavailableError("draining")}) {
    const auto retry =
        Detail<rpc::RetryInfo>(WithRetryInfo(status, delay), "RetryInfo");
    EXPECT_EQ(retry.retry_delay().seconds(), 1);
    EXPECT_EQ(retry.retry_delay().nanos(), 500000000);
  }
  EXPECT_EQ(WithRetryInfo(absl::InternalError("no"), delay),
            absl::InternalError("no"));
  EXPECT_TRUE(WithRetryInfo(absl::OkStatus(), delay).ok());
}

}  // namespace
}  // namespace moe
