#include "tools/client/rpc_error.h"

#include <cstdio>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "proto/rpc/error_details.pb.h"
#include "tools/client/connection.h"

namespace moe::client {
namespace {

constexpr char kTypePrefix[] = "type.googleapis.com/google.rpc.";

// Appends the google.rpc details of the status.
void AppendDetails(const rpc::Status& details, std::string* text) {
  for (const rpc::Any& detail : details.details()) {
    rpc::BadRequest bad_request;
    rpc::RetryInfo retry;
    rpc::ResourceInfo resource;
    rpc::ErrorInfo error;
    const std::string& type = detail.type_url();
    if (type == absl::StrCat(kTypePrefix, "BadRequest") &&
        bad_request.ParseFromString(detail.value())) {
      for (const auto& violation : bad_request.field_violations()) {
        absl::StrAppend(text, "\n  ", violation.field(), ": ",
                        violation.description());
      }
    } else if (type == absl::StrCat(kTypePrefix, "RetryInfo") &&
               retry.ParseFromString(detail.value())) {
      const absl::Duration delay =
          absl::Seconds(retry.retry_delay().seconds()) +
          absl::Nanoseconds(retry.retry_delay().nanos());
      absl::StrAppend(text, "\n  nothing has run; try again in ",
                      absl::FormatDuration(delay));
    } else if (type == absl::StrCat(kTypePrefix, "ResourceInfo") &&
               resource.ParseFromString(detail.value())) {
      absl::StrAppend(text, "\n  not found: ", resource.resource_type(), " \"",
                      resource.resource_name(), "\"");
    } else if (type == absl::StrCat(kTypePrefix, "ErrorInfo") &&
               error.ParseFromString(detail.value())) {
      absl::StrAppend(text, "\n  reason: ", error.reason());
    }
  }
}

bool HasFieldViolations(const rpc::Status& details) {
  for (const rpc::Any& detail : details.details()) {
    if (detail.type_url() == absl::StrCat(kTypePrefix, "BadRequest")) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string DescribeError(const grpc::Status& status, bool connected,
                          const std::string& address) {
  const std::string code = absl::StatusCodeToString(
      static_cast<absl::StatusCode>(status.error_code()));
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE && !connected) {
    const bool refused =
        status.error_message().find("Connection refused") != std::string::npos;
    return absl::StrCat(
        address, ": ", refused ? "connection refused" : "cannot connect",
        ": is moe_server running there, and its port right?",
        refused ? "" : "\n  ", refused ? "" : status.error_message());
  }
  rpc::Status details;
  if (!details.ParseFromString(status.error_details())) details.Clear();
  // The violations replace the message, one on each line.
  std::string text = HasFieldViolations(details)
                         ? code
                         : absl::StrCat(code, ": ", status.error_message());
  AppendDetails(details, &text);
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    absl::StrAppend(&text, "\n  --timeout allows more time");
  }
  return text;
}

int ReportError(const grpc::Status& status, grpc::Channel& channel) {
  // A channel that has lost its connection is IDLE; one that never had one is
  // not.
  const grpc_connectivity_state state = channel.GetState(false);
  const bool connected =
      state == GRPC_CHANNEL_READY || state == GRPC_CHANNEL_IDLE;
  std::fprintf(stderr, "client: %s\n",
               DescribeError(status, connected, ServerAddress()).c_str());
  return kExitFailed;
}

}  // namespace moe::client
