// moe_server: loads one model and serves it over gRPC until it is told to stop.
//
// Exit status: 0 after a drain in which every request finished; 1 if the server
// could not start; 2 if drain_grace ran out and requests were ended; 128 + n on
// the second signal n, or the first while it starts.

#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "kernels/core/status_macros.h"
#include "server/drain.h"
#include "server/grpc_server.h"
#include "server/inference_core.h"
#include "server/library_logs.h"
#include "server/log.h"
#include "server/model_loader.h"
#include "server/server_config.h"
#include "server/server_identity.h"
#include "server/shutdown_signal.h"

ABSL_FLAG(
    std::string, config, "",
    "Configuration: a file of moe.config.ServerConfig (proto/config.proto)"
    " in Protobuf text format");
ABSL_FLAG(bool, check_config, false,
          "Check the configuration, open tokenizer and checkpoint, and exit");
ABSL_FLAG(bool, version, false, "Print the version and exit");

namespace moe {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitCutOff = 2;

int Fail(const absl::Status& status) {
  Log(Severity::kError, "failed",
      {{"status", absl::StatusCodeToString(status.code())},
       {"message", std::string(status.message())}});
  return kExitFailed;
}

absl::Status WritePortFile(const std::string& path, int port) {
  if (path.empty()) return absl::OkStatus();
  // Renamed into place, so that a reader never sees a part of it.
  const std::string temporary = path + ".tmp";
  std::ofstream stream(temporary);
  stream << port << "\n";
  stream.close();
  if (!stream || std::rename(temporary.c_str(), path.c_str()) != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("server.port_file: cannot write \"", path, "\""));
  }
  return absl::OkStatus();
}

absl::StatusOr<int> Serve(const ServerConfig& config, ShutdownSignal& signal) {
  ASSIGN_OR_RETURN(const LoadedModel model, LoadServedModel(config));
  InferenceCore core(model.served);
  signal.Arm();
  ASSIGN_OR_RETURN(const auto server, GrpcServer::Start(config.listen, core));
  RETURN_IF_ERROR(WritePortFile(config.listen.port_file, server->port()));
  Log(Severity::kInfo, "listening",
      {{"address", config.listen.address},
       {"port", server->port()},
       {"tls", config.listen.tls.has_value() ? "true" : "false"}});
  const int number = signal.Wait();
  Log(Severity::kInfo, "draining",
      {{"signal", strsignal(number)},
       {"grace", absl::FormatDuration(config.drain_grace)}});
  const bool finished = DrainServer(config.drain_grace, core, *server);
  Log(finished ? Severity::kInfo : Severity::kWarning, "stopped",
      {{"finished_all", finished ? "true" : "false"}});
  return finished ? 0 : kExitCutOff;
}

int Main() {
  if (absl::GetFlag(FLAGS_version)) {
    std::printf("moe_server %s\n", kServerVersion);
    return 0;
  }
  const std::string file = absl::GetFlag(FLAGS_config);
  if (file.empty()) {
    return Fail(absl::InvalidArgumentError("--config is required"));
  }
  const absl::StatusOr<ServerConfig> config = LoadServerConfig(file);
  if (!config.ok()) return Fail(config.status());
  InitLog(config->log_level, config->log_format);
  CaptureLibraryLogs();
  if (absl::GetFlag(FLAGS_check_config)) {
    const absl::Status status = CheckModelFiles(*config);
    if (!status.ok()) return Fail(status);
    std::printf("%s is valid\n", file.c_str());
    return 0;
  }
  Log(Severity::kInfo, "starting",
      {{"version", kServerVersion}, {"config", file}});
  ShutdownSignal signal;
  const absl::StatusOr<int> exit_status = Serve(*config, signal);
  return exit_status.ok() ? *exit_status : Fail(exit_status.status());
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Serves a mixture-of-experts model over gRPC.\n"
      "  moe_server --config=FILE [--check_config]");
  absl::FlagsUsageConfig usage;
  // --help lists the flags of this program.
  usage.contains_help_flags = [](absl::string_view file) {
    return absl::StrContains(file, "server/");
  };
  absl::SetFlagsUsageConfig(usage);
  absl::ParseCommandLine(argc, argv);
  return moe::Main();
}
