// Control, health and draining, through real gRPC clients.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/server/grpc/server_fixture.h"

namespace moe {
namespace {

using grpc::StatusCode;
using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

class ControlTest : public ServerFixture {
 protected:
  HealthCheckResponse::ServingStatus Health(const std::string& service) {
    grpc::ClientContext context;
    SetDeadline(context);
    HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    EXPECT_TRUE(server_.health().Check(&context, request, &response).ok());
    return response.status();
  }
};

TEST_F(ControlTest, AbortEndsRequestsAndIgnoresUnknownIds) {
  request_.set_request_id("a");
  const auto reader = Stream();
  const std::string id = engine_.WaitForRequest(0);
  for (const uint32_t expected : {1, 0}) {
    grpc::ClientContext context;
    v1::AbortRequest request;
    request.add_request_ids("a");
    request.add_request_ids("unknown");
    v1::AbortResponse response;
    ASSERT_TRUE(server_.control().Abort(&context, request, &response).ok());
    EXPECT_EQ(response.aborted(), expected);
    if (expected == 1) {
      EXPECT_TRUE(engine_.WaitForCancel(id));
      EXPECT_EQ(ReadAll(*reader).status.error_code(), StatusCode::CANCELLED);
    }
  }
}

TEST_F(ControlTest, ReportsLoadAndState) {
  const auto reader = Stream();
  engine_.WaitForRequest(0);
  grpc::ClientContext context;
  v1::Load load;
  ASSERT_TRUE(server_.control().GetLoad(&context, {}, &load).ok());
  EXPECT_EQ(load.running_sequences(), 1u);
  engine_.set_health(absl::UnavailableError("a step has run for 31s"));
  grpc::ClientContext context2;
  v1::ServerInfo info;
  ASSERT_TRUE(server_.control().GetServerInfo(&context2, {}, &info).ok());
  EXPECT_EQ(info.state(), v1::ServerInfo::UNHEALTHY);
  EXPECT_EQ(info.state_message(), "a step has run for 31s");
  EXPECT_EQ(info.models(0), "fake");
  context_.TryCancel();
  reader->Finish();
}

TEST_F(ControlTest, HealthFollowsTheEngine) {
  EXPECT_EQ(Health(""), HealthCheckResponse::SERVING);
  EXPECT_EQ(Health("moe.v1.Inference"), HealthCheckResponse::SERVING);
  grpc::ClientContext unknown;
  HealthCheckRequest request;
  request.set_service("other");
  HealthCheckResponse response;
  EXPECT_EQ(server_.health().Check(&unknown, request, &response).error_code(),
            StatusCode::NOT_FOUND);

  request.set_service("moe.v1.Inference");
  const auto watch = server_.health().Watch(&context_, request);
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  engine_.set_health(absl::UnavailableError("stalled"));
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Health(""), HealthCheckResponse::NOT_SERVING);
  engine_.set_health(absl::OkStatus());
  ASSERT_TRUE(watch->Read(&response));
  EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  context_.TryCancel();
  watch->Finish();
}

TEST_F(ControlTest, DrainRefusesNewRequestsAndLetsRunningOnesFinish) {
  const auto reader = Stream();
  const std::string id = engine_.WaitForRequest(0);
  HealthCheckRequest health_request;
  HealthCheckResponse health;
  grpc::ClientContext watch_context;
  SetDeadline(watch_context);
  const auto watch = server_.health().Watch(&watch_context, health_request);
  ASSERT_TRUE(watch->Read(&health));

  grpc::ClientContext drain_context;
  v1::DrainResponse drained;
  ASSERT_TRUE(server_.control().Drain(&drain_context, {}, &drained).ok());
  EXPECT_FALSE(drained.idle());
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), HealthCheckResponse::NOT_SERVING);
  v1::GenerateResponse response;
  const grpc::Status refused = Generate(&response);
  EXPECT_EQ(refused.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_TRUE(HasDetail(refused, "RetryInfo"));

  engine_.LastToken(id, 'b', FinishReason::kLength);
  engine_.Done(id);
  EXPECT_TRUE(ReadAll(*reader).status.ok());
  grpc::ClientContext wait_context;
  SetDeadline(wait_context);
  v1::DrainRequest wait;
  wait.set_wait_seconds(10);
  ASSERT_TRUE(server_.control().Drain(&wait_context, wait, &drained).ok());
  EXPECT_TRUE(drained.idle());

  grpc::ClientContext resume_context;
  v1::ResumeResponse resumed;
  ASSERT_TRUE(server_.control().Resume(&resume_context, {}, &resumed).ok());
  ASSERT_TRUE(watch->Read(&health));
  EXPECT_EQ(health.status(), HealthCheckResponse::SERVING);
  watch_context.TryCancel();
  watch->Finish();
}

TEST_F(ControlTest, DrainChecksItsWait) {
  grpc::ClientContext context;
  v1::DrainRequest request;
  request.set_wait_seconds(-1);
  v1::DrainResponse response;
  EXPECT_EQ(server_.control().Drain(&context, request, &response).error_code(),
            StatusCode::INVALID_ARGUMENT);
  EXPECT_FALSE(server_.core().draining());
}

TEST_F(ControlTest, ResumeIsRefusedDuringShutdown) {
  server_.core().StartShutdown();
  grpc::ClientContext context;
  v1::ResumeResponse response;
  EXPECT_EQ(server_.control().Resume(&context, {}, &response).error_code(),
            StatusCode::FAILED_PRECONDITION);
}

TEST_F(ControlTest, DrainTurnsHealthAtOnce) {
  for (int i = 0; i < 20; ++i) {
    grpc::ClientContext drain;
    v1::DrainResponse drained;
    ASSERT_TRUE(server_.control().Drain(&drain, {}, &drained).ok());
    EXPECT_EQ(Health(""), HealthCheckResponse::NOT_SERVING);
    grpc::ClientContext resume;
    v1::ResumeResponse resumed;
    ASSERT_TRUE(server_.control().Resume(&resume, {}, &resumed).ok());
    EXPECT_EQ(Health(""), HealthCheckResponse::SERVING);
  }
}

TEST_F(ControlTest, AFailureEndsRequestsThatTheEngineCannotEnd) {
  const auto reader = Stream();
  const std::string id = engine_.WaitForRequest(0);
  server_.core().Fail(absl::UnavailableError("rank 1 has ended"));
  const StreamResult result = ReadAll(*reader);
  EXPECT_EQ(result.status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(result.status.error_message(), "rank 1 has ended");
  EXPECT_EQ(Health(""), HealthCheckResponse::NOT_SERVING);
  v1::GenerateResponse response;
  const grpc::Status refused = Generate(&response);
  EXPECT_EQ(refused.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(refused.error_message(), "rank 1 has ended");
  // The engine may still send events.
  engine_.Text(id, "late");
  engine_.Done(id, absl::InternalError("late"));
  EXPECT_TRUE(server_.core().WaitDelivered(absl::Seconds(20)));
}

TEST_F(ControlTest, AServerWithoutRanksIsOneOfOne) {
  grpc::ClientContext context;
  v1::GetRanksResponse response;
  ASSERT_TRUE(server_.control().GetRanks(&context, {}, &response).ok());
  ASSERT_EQ(response.ranks_size(), 1);
  EXPECT_EQ(response.ranks(0).state(), v1::Rank::IDLE);
  grpc::ClientContext load_context;
  v1::ExpertLoad load;
  EXPECT_EQ(
      server_.control().GetExpertLoad(&load_context, {}, &load).error_code(),
      StatusCode::UNAVAILABLE);
  grpc::ClientContext info_context;
  v1::ServerInfo info;
  ASSERT_TRUE(server_.control().GetServerInfo(&info_context, {}, &info).ok());
  EXPECT_EQ(info.world_size(), 1u);
  EXPECT_EQ(info.layout().tensor_degree(), 1u);
}

}  // namespace
}  // namespace moe
