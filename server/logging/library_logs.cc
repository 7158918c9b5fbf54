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

void LogOfEngine(EngineLogLevel level, const std::string& event,
                 const EngineLogFields& fields) {
  std::vector<LogField> converted;
  converted.reserve(fields.size());
  for (const auto& [key, value] : fields) {
    std::visit([&](const auto& typed) { converted.emplace_back(key, typed); },
               value);
  }
  Log(FromEngine(level), event, converted);
}

// gRPC has no level for warnings: its errors are mostly those of a connection.
void LogOfGrpc(gpr_log_func_args* args) {
  const Severity level =
      args->severity == GPR_LOG_SEVERITY_DEBUG  ? Severity::kDebug
      : args->severity == GPR_LOG_SEVERITY_INFO ? Severity::kInfo
                                                : Severity::kWarning;
  Log(level, "grpc",
      {{"file", args->file}, {"line", args->line}, {"message", args->message}});
  // Its last word.
  if (absl::StartsWith(args->message, "assertion failed")) FlushLog();
}

// Its errors are of messages that clients sent.
void LogOfProtobuf(google::protobuf::LogLevel level, const char* file, int line,
                   const std::string& message) {
  Log(level == google::protobuf::LOGLEVEL_INFO    ? Severity::kInfo
      : level == google::protobuf::LOGLEVEL_FATAL ? Severity::kError
                                                  : Severity::kWarning,
      "protobuf", {{"file", file}, {"line", line}, {"message", message}});
}

}  // namespace

void CaptureLibraryLogs() {
  SetEngineLogSink(LogOfEngine);
  gpr_set_log_function(LogOfGrpc);
  google::protobuf::SetLogHandler(LogOfProtobuf);
}

}  // namespace moe
