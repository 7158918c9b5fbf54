#include "server/logging/library_logs.h"

#include <google/protobuf/stubs/logging.h>
#include <grpc/support/log.h>

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/match.h"
#include "engine/runtime/engine_log.h"
#include "server/logging/log.h"

namespace moe {
namespace {

Severity FromEngine(EngineLogLevel level) {
  switch (level) {
    case EngineLogLevel::kInfo:
      return Severity::kInfo;
    case EngineLogLevel::kWarning:
      return Severity::kWarning;
    case EngineLogLevel::kError:
      break;
  }
  return Severity::kError;
}

void LogEngine(EngineLogLevel level, const std::string& event,
               const EngineLogFields& fields) {
  std::vector<LogField> converted;
  converted.reserve(fields.size());
  for (const auto& [key, value] : fields) {
    std::visit([&](const auto& typed) { converted.emplace_back(key, typed); },
               value);
  }
  Log(FromEngine(level), event, converted);
}

// gRPC has no level for warnings, and most of its errors concern a single
// connection.
void LogGrpc(gpr_log_func_args* args) {
  // gRPC says only in a line for debugging why it ended a call with too much
  // metadata.
  const bool is_cause =
      absl::StrContains(args->message, "metadata size exceeds limit");
  const Severity level = is_cause || args->severity == GPR_LOG_SEVERITY_ERROR
                             ? Severity::kWarning
                             : Severity::kDebug;
  Log(level, "grpc",
      {{"file", args->file}, {"line", args->line}, {"message", args->message}});
  // gRPC aborts the process next.
  if (absl::StartsWith(args->message, "assertion failed")) FlushLog();
}

// Protobuf's errors concern messages that clients sent: they are warnings here.
void LogProtobuf(google::protobuf::LogLevel level, const char* file, int line,
                 const std::string& message) {
  Log(level == google::protobuf::LOGLEVEL_INFO    ? Severity::kInfo
      : level == google::protobuf::LOGLEVEL_FATAL ? Severity::kError
                                                  : Severity::kWarning,
      "protobuf", {{"file", file}, {"line", line}, {"message", message}});
}

}  // namespace

void CaptureLibraryLogs() {
  SetEngineLogSink(LogEngine);
  gpr_set_log_function(LogGrpc);
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_DEBUG);  // LogGrpc chooses
  google::protobuf::SetLogHandler(LogProtobuf);
}

}  // namespace moe
