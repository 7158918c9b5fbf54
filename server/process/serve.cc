#include "server/process/serve.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/distributed/exit_watchdog.h"
#include "kernels/core/control_groups.h"
#include "kernels/core/status_macros.h"
#include "server/generation/inference_core.h"
#include "server/grpc/grpc_server.h"
#include "server/logging/log.h"
#include "server/process/drain.h"
#include "server/process/model_loader.h"
#include "server/process/port_file.h"
#include "server/process/thread_reserve.h"

namespace moe {
namespace {

// How long clients get to receive the error when a rank fails, and then the
// last bytes. mpirun kills the job soon after one of its processes has died, so
// it is short.
constexpr absl::Duration kFailureFlushTime = absl::Milliseconds(700);
constexpr absl::Duration kLastBytesTime = absl::Milliseconds(100);

// The process is ended this long after its shutdown should have finished, even
// if something hangs: supervisors rely on it.
constexpr absl::Duration kExitSlack = absl::Seconds(5);

constexpr absl::Duration kListeningFlushTimeout = absl::Milliseconds(100);

// Ends the process after `time`, whatever hangs, unless it has ended before.
void ExitWithin(absl::Duration time, int exit_status) {
  // Never destroyed: destructors may hang, too.
  static ExitWatchdog& watchdog = *new ExitWatchdog();
  watchdog.Arm(time, exit_status, [] {
    Log(Severity::kError, "stopped",
        {{"reason", "the process did not end in time and is cut off"}});
    FlushLog();
  });
}

// Ends the process when a rank fails, even if this rank's own loading hangs.
// While serving, rank 0 instead reports the failure to its clients first.
std::unique_ptr<RankRuntime::Subscription> ExitIfARankFails(
    RankRuntime& ranks) {
  // The runtime has logged the reason.
  return ranks.OnFailure([&ranks](const absl::Status&) {
    FlushLog();
    ranks.WaitForRank0Exit();
    _exit(ranks.failure_exit_status());
  });
}

// gRPC starts threads when calls come: up to two for each CPU, and a few for
// timers. Near a limit of tasks they take the place of those of the reserve. If
// one cannot be started nevertheless, `lost` is called; its calls may hang.
void ReserveThreads(std::function<void()> lost) {
  const int wanted =
      2 * static_cast<int>(std::thread::hardware_concurrency()) + 8;
  const int reserved = thread_reserve::Fill(wanted);
  const ControlGroupLimits limits = ReadControlGroupLimits();
  if (reserved < wanted) {
    Log(Severity::kWarning, "few_threads",
        {{"reserved", static_cast<int64_t>(reserved)},
         {"needed", static_cast<int64_t>(wanted)},
         {"limit", limits.tasks_file.empty() ? "ulimit -u" : limits.tasks_file},
         {"message",
          "a limit leaves few threads for load: raise it by what is missing"}});
  }
  thread_reserve::SetFailureHandler(
      [lost = std::move(lost)](const absl::Status& reason) {
        lost();
        Log(Severity::kError, "thread_failed",
            {{"message", std::string(reason.message())}});
      });
}

[[noreturn]] void ExitAfterFailure(const ServerConfig& config,
                                   const RankRuntime& ranks,
                                   const InferenceCore& core,
                                   GrpcServer& server) {
  ExitWithin(kFailureFlushTime + kExitSlack, ranks.failure_exit_status());
  RemovePortFile(config.listen.port_file, server.port());
  // GrpcServer::Shutdown would cancel calls that have not ended by then, and
  // new ones. The end of the process instead closes their connections, so they
  // get UNAVAILABLE like all others.
  core.WaitDelivered(kFailureFlushTime);
  absl::SleepFor(kLastBytesTime);
  Log(Severity::kError, "stopped",
      {{"reason", std::string(ranks.status().message())}});
  FlushLog();
  // Destructors could wait for other ranks.
  _exit(ranks.failure_exit_status());
}

}  // namespace

absl::StatusOr<int> Serve(const ServerConfig& config, RankRuntime& ranks,
                          ShutdownSignal& signal) {
  auto loading = ExitIfARankFails(ranks);
  // Find these errors before the model is loaded.
  RETURN_IF_ERROR(PreparePortFile(config.listen.port_file));
  RETURN_IF_ERROR(GrpcServer::Check(config.listen));
  ASSIGN_OR_RETURN(const LoadedModel model, LoadServedModel(config, ranks));
  InferenceCore core(model.served);
  signal.Arm();
  ASSIGN_OR_RETURN(const auto server, GrpcServer::Start(config.listen, core));
  ReserveThreads([&core] { core.NoteLostThread(); });
  const auto serving = ranks.OnFailure([&](const absl::Status& reason) {
    // mpirun now signals this process; ExitAfterFailure ends it.
    signal.Ignore();
    core.Fail(reason);
    signal.Wake();
  });
  Log(Severity::kInfo, "listening",
      {{"address", config.listen.address},
       {"port", server->port()},
       {"tls", config.listen.tls.has_value() ? "true" : "false"}});
  // The line is in the log when the port file appears.
  FlushLog(kListeningFlushTimeout);
  RETURN_IF_ERROR(WritePortFile(config.listen.port_file, server->port()));
  loading.reset();
  ranks.MarkReady();
  const int number = signal.Wait();
  if (number == 0 || !ranks.status().ok()) {
    ExitAfterFailure(config, ranks, core, *server);
  }
  // A rank that fails during the drain is noticed after the watchdog's time.
  ExitWithin(
      config.drain_grace + kExitSlack +
          (ranks.size() > 1 ? config.engine.parallel.watchdog + kExitSlack
                            : absl::ZeroDuration()),
      kExitCutOff);
  Log(Severity::kInfo, "draining",
      {{"signal", strsignal(number)},
       {"grace", absl::FormatDuration(config.drain_grace)}});
  RemovePortFile(config.listen.port_file, server->port());
  const bool finished = DrainServer(config.drain_grace, core, *server);
  thread_reserve::SetFailureHandler(nullptr);  // it refers to the core
  if (!ranks.status().ok()) ExitAfterFailure(config, ranks, core, *server);
  Log(finished ? Severity::kInfo : Severity::kWarning, "stopped",
      {{"finished_all", finished ? "true" : "false"}});
  return finished ? 0 : kExitCutOff;
}

absl::StatusOr<int> RunWorker(const ServerConfig& config, RankRuntime& ranks) {
  const auto failing = ExitIfARankFails(ranks);
  RETURN_IF_ERROR(RunModelWorker(config, ranks));
  Log(Severity::kInfo, "stopped");
  return 0;
}

}  // namespace moe
