#include "tools/client/control_commands.h"

#include <algorithm>
#include <cstdio>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "kernels/core/steady_clock.h"
#include "proto/moe/v1/control.grpc.pb.h"
#include "tools/client/connection.h"
#include "tools/client/health.grpc.pb.h"
#include "tools/client/message_printer.h"
#include "tools/client/rank_tables.h"
#include "tools/client/rpc_error.h"

ABSL_FLAG(absl::Duration, wait, absl::ZeroDuration(),
          "drain, health: how long to wait for idle, or for SERVING.");

namespace moe::client {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(10);
constexpr absl::Duration kHealthPoll = absl::Milliseconds(100);

using Health = grpc::health::v1::Health;
using HealthRequest = grpc::health::v1::HealthCheckRequest;
using HealthResponse = grpc::health::v1::HealthCheckResponse;

int UsageError(const std::string& message) {
  std::fprintf(stderr, "client: %s\n", message.c_str());
  return kExitUsage;
}

// Makes one call of Control and prints its response: as JSON with --json, else
// by `table`.
template <typename Request, typename Response>
int Call(grpc::Status (v1::Control::Stub::*method)(grpc::ClientContext*,
                                                   const Request&, Response*),
         const Request& request, absl::Duration timeout,
         std::string (*table)(const Response&) = nullptr) {
  const auto channel = OpenChannel();
  if (!channel.ok()) return UsageError(std::string(channel.status().message()));
  const auto stub = v1::Control::NewStub(*channel);
  grpc::ClientContext context;
  SetDeadline(timeout, &context);
  Response response;
  const grpc::Status status =
      (stub.get()->*method)(&context, request, &response);
  if (!status.ok()) return ReportError(status, **channel);
  if (table != nullptr && !WantsJson()) {
    Print(table(response));
  } else {
    PrintMessage(response);
  }
  return kExitOk;
}

int NoArguments(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return kExitOk;
  return UsageError(
      absl::StrCat("unexpected argument \"", arguments.front(), "\""));
}

}  // namespace

int RunInfo(const std::vector<std::string>& arguments) {
  if (const int status = NoArguments(arguments)) return status;
  return Call(&v1::Control::Stub::GetServerInfo, v1::GetServerInfoRequest(),
              kTimeout);
}

int RunLoad(const std::vector<std::string>& arguments) {
  if (const int status = NoArguments(arguments)) return status;
  return Call(&v1::Control::Stub::GetLoad, v1::GetLoadRequest(), kTimeout);
}

int RunRanks(const std::vector<std::string>& arguments) {
  if (const int status = NoArguments(arguments)) return status;
  return Call(&v1::Control::Stub::GetRanks, v1::GetRanksRequest(), kTimeout,
              &RankTable);
}

int RunExperts(const std::vector<std::string>& arguments) {
  if (const int status = NoArguments(arguments)) return status;
  return Call(&v1::Control::Stub::GetExpertLoad, v1::GetExpertLoadRequest(),
              kTimeout, &ExpertTable);
}

int RunAbort(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return UsageError("abort needs request ids");
  v1::AbortRequest request;
  for (const std::string& id : arguments) request.add_request_ids(id);
  return Call(&v1::Control::Stub::Abort, request, kTimeout);
}

int RunDrain(const std::vector<std::string>& arguments) {
  if (const int status = NoArguments(arguments)) return status;
  v1::DrainRequest request;
  const absl::Duration wait = absl::GetFlag(FLAGS_wait);
  if (wait > absl::ZeroDuration()) {
    request.set_wait_seconds(absl::ToDoubleSeconds(wait));
  }
  return Call(&v1::Control::Stub::Drain, request, kTimeout + wait);
}

int RunResume(const std::vector<std::string>& arguments) {
  if (const int status = NoArguments(arguments)) return status;
  return Call(&v1::Control::Stub::Resume, v1::ResumeRequest(), kTimeout);
}

int RunHealth(const std::vector<std::string>& arguments) {
  if (arguments.size() > 1) return UsageError("health takes one service");
  const auto channel = OpenChannel();
  if (!channel.ok()) return UsageError(std::string(channel.status().message()));
  const auto stub = Health::NewStub(*channel);
  HealthRequest request;
  if (!arguments.empty()) request.set_service(arguments.front());
  const absl::Time deadline = SteadyNow() + absl::GetFlag(FLAGS_wait);
  while (true) {
    grpc::ClientContext context;
    // Until the deadline, wait for a server that is still starting.
    const absl::Duration left = deadline - SteadyNow();
    const bool last = left <= absl::ZeroDuration();
    if (!last) context.set_wait_for_ready(true);
    SetDeadline(last ? kTimeout : std::min(left, kTimeout), &context);
    HealthResponse response;
    const grpc::Status status = stub->Check(&context, request, &response);
    if (status.ok() && response.status() == HealthResponse::SERVING) {
      PrintMessage(response);
      return kExitOk;
    }
    if (last) {
      if (!status.ok()) return ReportError(status, **channel);
      PrintMessage(response);
      return kExitFailed;
    }
    absl::SleepFor(kHealthPoll);
  }
}

}  // namespace moe::client
