#include "server/grpc/control_service.h"

#include <grpc/support/time.h>
#include <grpcpp/alarm.h>
#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/steady_clock.h"
#include "proto/moe/v1/control.grpc.pb.h"
#include "server/generation/rank_description.h"
#include "server/generation/request_errors.h"
#include "server/generation/server_description.h"
#include "server/generation/server_identity.h"
#include "server/grpc/grpc_status.h"
#include "server/grpc/unary_call.h"
#include "server/logging/log.h"

namespace moe {
namespace {

using v1::Control;

// Methods take raw bytes; message_codec.h explains why.
using RawService = Control::WithRawCallbackMethod_GetServerInfo<
    Control::WithRawCallbackMethod_GetLoad<
        Control::WithRawCallbackMethod_GetRanks<
            Control::WithRawCallbackMethod_GetExpertLoad<
                Control::WithRawCallbackMethod_Abort<
                    Control::WithRawCallbackMethod_Drain<
                        Control::WithRawCallbackMethod_Resume<
                            Control::Service>>>>>>>;

constexpr double kMaxWaitSeconds = 86400;
constexpr int kPollMillis = 20;

// Waits for the engine to become idle without blocking a gRPC thread.
class DrainCall : public grpc::ServerUnaryReactor {
 public:
  DrainCall(const InferenceCore& core, absl::Time deadline,
            grpc::ByteBuffer* response)
      : core_(core), deadline_(deadline), response_(response) {
    Poll();
  }

  void OnCancel() override { cancelled_ = true; }
  void OnDone() override { delete this; }

 private:
  void Poll() {
    const bool idle = core_.IsIdle();
    if (!idle && SteadyNow() < deadline_ && !cancelled_) {
      alarm_.Set(gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                              gpr_time_from_millis(kPollMillis, GPR_TIMESPAN)),
                 [this](bool) { Poll(); });
      return;
    }
    v1::DrainResponse result;
    result.set_idle(idle);
    *response_ = SerializeMessage(result);
    Finish(grpc::Status::OK);
  }

  const InferenceCore& core_;
  const absl::Time deadline_;  // by SteadyNow
  grpc::ByteBuffer* response_;
  std::atomic<bool> cancelled_ = false;
  grpc::Alarm alarm_;
};

class ControlService : public RawService {
 public:
  ControlService(InferenceCore& core, bool remote_control)
      : core_(core),
        remote_control_(remote_control),
        identity_(MakeServerIdentity()) {}

  grpc::ServerUnaryReactor* GetServerInfo(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::GetServerInfoRequest>(
        context, request, response,
        [this](
            const v1::GetServerInfoRequest&) -> absl::StatusOr<v1::ServerInfo> {
          return DescribeServer(core_, identity_);
        });
  }

  grpc::ServerUnaryReactor* GetLoad(grpc::CallbackServerContext* context,
                                    const grpc::ByteBuffer* request,
                                    grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::GetLoadRequest>(
        context, request, response,
        [this](const v1::GetLoadRequest&) -> absl::StatusOr<v1::Load> {
          return DescribeLoad(core_);
        });
  }

  grpc::ServerUnaryReactor* GetRanks(grpc::CallbackServerContext* context,
                                     const grpc::ByteBuffer* request,
                                     grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::GetRanksRequest>(
        context, request, response,
        [this](const v1::GetRanksRequest&)
            -> absl::StatusOr<v1::GetRanksResponse> {
          return DescribeRanks(core_.model());
        });
  }

  grpc::ServerUnaryReactor* GetExpertLoad(grpc::CallbackServerContext* context,
                                          const grpc::ByteBuffer* request,
                                          grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::GetExpertLoadRequest>(
        context, request, response, [this](const v1::GetExpertLoadRequest&) {
          return DescribeExpertLoad(core_.model());
        });
  }

  grpc::ServerUnaryReactor* Abort(grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* request,
                                  grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::AbortRequest>(
        context, request, response,
        [&](const v1::AbortRequest& message)
            -> absl::StatusOr<v1::AbortResponse> {
          RETURN_IF_ERROR(CheckAllowed(*context, "Abort"));
          v1::AbortResponse result;
          result.set_aborted(core_.Abort(
              {message.request_ids().begin(), message.request_ids().end()}));
          return result;
        });
  }

  grpc::ServerUnaryReactor* Drain(grpc::CallbackServerContext* context,
                                  const grpc::ByteBuffer* bytes,
                                  grpc::ByteBuffer* response) override {
    v1::DrainRequest request;
    const absl::Status status = StartDrain(*context, *bytes, request);
    if (!status.ok()) {
      grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
      reactor->Finish(ToGrpcStatus(status));
      return reactor;
    }
    const absl::Time deadline =
        SteadyNow() + absl::Seconds(request.wait_seconds());
    return new DrainCall(core_, deadline, response);
  }

  grpc::ServerUnaryReactor* Resume(grpc::CallbackServerContext* context,
                                   const grpc::ByteBuffer* request,
                                   grpc::ByteBuffer* response) override {
    return AnswerUnary<v1::ResumeRequest>(
        context, request, response,
        [&](const v1::ResumeRequest&) -> absl::StatusOr<v1::ResumeResponse> {
          RETURN_IF_ERROR(CheckAllowed(*context, "Resume"));
          RETURN_IF_ERROR(core_.Resume());
          return v1::ResumeResponse();
        });
  }

 private:
  absl::Status CheckAllowed(const grpc::CallbackServerContext& context,
                            const char* method) const {
    const std::string peer = context.peer();
    if (!remote_control_ && !IsLocalPeer(peer)) {
      return absl::PermissionDeniedError(absl::StrCat(
          "Control.", method,
          " may be called from the server's own host only; ",
          "server.remote_control in the configuration allows other hosts"));
    }
    Log(Severity::kInfo, "control", {{"method", method}, {"peer", peer}});
    return absl::OkStatus();
  }

  absl::Status StartDrain(const grpc::CallbackServerContext& context,
                          const grpc::ByteBuffer& bytes,
                          v1::DrainRequest& request) {
    RETURN_IF_ERROR(ParseMessage(bytes, &request));
    const double wait = request.wait_seconds();
    if (!(wait >= 0 && wait <= kMaxWaitSeconds)) {
      return FieldViolation(
          "wait_seconds", absl::StrFormat("is %g; it must be in [0, %g]", wait,
                                          kMaxWaitSeconds));
    }
    RETURN_IF_ERROR(CheckAllowed(context, "Drain"));
    core_.StartDrain();
    return absl::OkStatus();
  }

  InferenceCore& core_;
  const bool remote_control_;
  const ServerIdentity identity_;
};

}  // namespace

bool IsLocalPeer(const std::string& peer) {
  for (const char* prefix :
       {"unix:", "ipv4:127.", "ipv6:[::1]:", "ipv6:%5B::1%5D:",
        "ipv6:[::ffff:127.", "ipv6:%5B::ffff:127."}) {
    if (absl::StartsWith(peer, prefix)) return true;
  }
  return false;
}

std::unique_ptr<grpc::Service> MakeControlService(InferenceCore& core,
                                                  bool remote_control) {
  return std::make_unique<ControlService>(core, remote_control);
}

}  // namespace moe
