// moe_server: loads one model and serves it over gRPC until it gets a signal.
// Under mpirun it is one of many ranks: rank 0 serves, the others compute.
//
// Exit status: 0 after a drain in which every request finished; 1 if the server
// could not start; 2 if drain_grace ran out and requests were ended; 3 if a
// rank failed once it served; 128 + n on the second signal n, or the first
// while it starts.

#include <unistd.h>

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/flags/usage.h"
#include "absl/flags/usage_config.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "absl/types/optional.h"
#include "engine/distributed/build_id.h"
#include "engine/distributed/rank_runtime.h"
#include "kernels/core/status_macros.h"
#include "server/config/server_config.h"
#include "server/generation/server_identity.h"
#include "server/grpc/file_limit.h"
#include "server/grpc/grpc_server.h"
#include "server/logging/library_logs.h"
#include "server/logging/log.h"
#include "server/process/model_loader.h"
#include "server/process/port_file.h"
#include "server/process/serve.h"
#include "server/process/shutdown_signal.h"
#include "server/process/thread_reserve.h"

ABSL_FLAG(
    std::string, config, "",
    "Configuration: a file of moe.config.ServerConfig (proto/config.proto)"
    " in Protobuf text format");
ABSL_FLAG(
    bool, check_config, false,
    "Check the configuration, open tokenizer and checkpoint, try the address"
    " and the TLS files, and exit");
ABSL_FLAG(std::string, address, "",
          "Overrides server.address of the configuration");
ABSL_FLAG(absl::optional<int>, port, absl::nullopt,
          "Overrides server.port of the configuration; 0: any free port");
ABSL_FLAG(std::string, port_file, "",
          "Overrides server.port_file of the configuration; relative to the"
          " working directory");
ABSL_FLAG(bool, version, false, "Print the version and exit");

namespace moe {
namespace {

// Open files that are not connections, with some to spare.
constexpr int64_t kOtherFiles = 128;

int Fail(const absl::Status& status) {
  Log(Severity::kError, "failed",
      {{"status", absl::StatusCodeToString(status.code())},
       {"message", std::string(status.message())}});
  return kExitFailed;
}

void FailAndExit(const absl::Status& status) {
  Fail(status);
  FlushLog();
  _exit(kExitFailed);
}

// The configuration with the overrides of the command line.
absl::StatusOr<ServerConfig> ReadConfig(const std::string& file) {
  ASSIGN_OR_RETURN(ServerConfig config, LoadServerConfig(file));
  ListenConfig& listen = config.listen;
  const std::string address = absl::GetFlag(FLAGS_address);
  const std::string port_file = absl::GetFlag(FLAGS_port_file);
  if (!address.empty()) listen.address = address;
  if (!port_file.empty()) listen.port_file = port_file;
  listen.port = absl::GetFlag(FLAGS_port).value_or(listen.port);
  if (listen.port < 0 || listen.port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("--port is ", listen.port, "; it must be in [0, 65535]"));
  }
  return config;
}

BootstrapInfo DescribeStart(const ServerConfig& config) {
  BootstrapInfo info;
  info.version = kServerVersion;
  info.build_id = BuildId();
  info.config_digest = DigestOf(config.text);
  info.expected_world_size = config.world_size;
  info.expected_nodes = config.nodes;
  info.node_shape = config.engine.parallel.nodes;
  info.watchdog = config.engine.parallel.watchdog;
  return info;
}

// Ends a rank that cannot continue, and reports the reason to the other ranks.
int FailRank(const absl::Status& status, RankRuntime& ranks) {
  Fail(status);
  if (ranks.size() > 1) {
    FlushLog();
    if (!ranks.ExitTogether(status)) {
      ranks.Fail(status);
      FlushLog();
      ranks.WaitForRank0Exit();
    }
    // Destructors could wait for other ranks.
    _exit(ranks.failure_exit_status());
  }
  return ranks.failure_exit_status();
}

// Warns if the limit of open files is too low for one connection per request.
void WarnOfFewFiles(const ServerConfig& config) {
  const int64_t needed = config.limits.max_concurrent_requests + kOtherFiles;
  if (FileLimit() >= needed) return;
  Log(Severity::kWarning, "few_open_files",
      {{"open_files_limit", FileLimit()},
       {"needed", needed},
       {"message",
        "connections beyond the limit of open files are refused; raise it "
        "(ulimit -n, LimitNOFILE) or lower server.max_concurrent_requests"}});
}

int RunRank(const std::string& file, const absl::StatusOr<ServerConfig>& config,
            RankRuntime& ranks, ShutdownSignal& signal) {
  const bool alone = ranks.size() == 1;
  const std::optional<int> log_rank =
      alone ? std::nullopt : std::optional<int>(ranks.rank());
  if (ranks.rank() != 0) signal.Ignore();
  if (config.ok()) {
    InitLog(config->log_level, config->log_format, log_rank);
  } else {
    InitLog(Severity::kInfo, LogFormat::kKeyValue, log_rank);
  }
  CaptureLibraryLogs();
  // All ranks get the same result.
  const absl::Status started =
      ranks.Start(config.ok() ? DescribeStart(*config)
                              : absl::StatusOr<BootstrapInfo>(config.status()));
  if (!started.ok()) return Fail(started);
  RaiseFileLimit();
  Log(Severity::kInfo, "starting",
      {{"version", kServerVersion},
       {"config", file},
       {"pid", static_cast<int64_t>(getpid())},
       {"ranks", ranks.size()},
       {"nodes", ranks.topology().num_nodes()},
       {"open_files_limit", FileLimit()}});
  if (ranks.rank() == 0) WarnOfFewFiles(*config);
  const absl::StatusOr<int> exit_status = ranks.rank() == 0
                                              ? Serve(*config, ranks, signal)
                                              : RunWorker(*config, ranks);
  if (!exit_status.ok()) return FailRank(exit_status.status(), ranks);
  if (const absl::Status status = ranks.Finish(); !status.ok()) {
    return FailRank(status, ranks);
  }
  return *exit_status;
}

int CheckConfig(const std::string& file) {
  const absl::StatusOr<ServerConfig> config = ReadConfig(file);
  if (!config.ok()) return Fail(config.status());
  InitLog(config->log_level, config->log_format);
  CaptureLibraryLogs();
  if (const absl::Status status = CheckModelFiles(*config); !status.ok()) {
    return Fail(status);
  }
  if (const absl::Status status = CheckPortFile(config->listen.port_file);
      !status.ok()) {
    return Fail(status);
  }
  // A running server may be using the configured port.
  ListenConfig listen = config->listen;
  listen.port = 0;
  if (const absl::Status status = GrpcServer::Check(listen); !status.ok()) {
    return Fail(status);
  }
  std::printf("%s is valid\n", file.c_str());
  return 0;
}

int Main(int* argc, char*** argv) {
  if (absl::GetFlag(FLAGS_version)) {
    std::printf("moe_server %s\n", kServerVersion);
    return 0;
  }
  const std::string file = absl::GetFlag(FLAGS_config);
  if (file.empty()) {
    return Fail(absl::InvalidArgumentError("--config is required"));
  }
  if (absl::GetFlag(FLAGS_check_config)) return CheckConfig(file);
  // The log's thread is the first; from then on the log says what fails.
  InitLog(Severity::kInfo, LogFormat::kKeyValue);
  thread_reserve::SetFailureHandler(FailAndExit);
  ShutdownSignal signal;  // before any other thread starts
  // RunRank reports an error to the other ranks before this one exits.
  const absl::StatusOr<ServerConfig> config = ReadConfig(file);
  if (config.ok()) InitLog(config->log_level, config->log_format);
  const auto ranks = RankRuntime::Init(
      argc, argv, config.ok() ? config->connect_timeout : absl::Minutes(1),
      [](const absl::Status& reason) { Fail(reason); });
  if (!ranks.ok()) return Fail(ranks.status());
  return RunRank(file, config, **ranks, signal);
}

}  // namespace
}  // namespace moe

int main(int argc, char** argv) {
  absl::SetProgramUsageMessage(
      "Serves a mixture-of-experts model over gRPC.\n"
      "  moe_server --config=FILE [--check_config] [--port=N] ...\n"
      "  mpirun -np N moe_server --config=FILE");
  absl::FlagsUsageConfig usage;
  // --help lists only the flags of this program.
  usage.contains_help_flags = [](absl::string_view file) {
    return absl::StrContains(file, "server/");
  };
  absl::SetFlagsUsageConfig(usage);
  const std::vector<char*> words = absl::ParseCommandLine(argc, argv);
  if (words.size() > 1) {
    std::fprintf(stderr, "moe_server: unexpected argument \"%s\"; see --help\n",
                 words[1]);
    return moe::kExitFailed;
  }
  const int exit_status = moe::Main(&argc, &argv);
  moe::FlushLog();
  return exit_status;
}
