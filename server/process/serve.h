#pragma once

#include "absl/status/statusor.h"
#include "engine/distributed/exit_policy.h"
#include "engine/distributed/rank_runtime.h"
#include "server/config/server_config.h"
#include "server/process/shutdown_signal.h"

namespace moe {

// Exit statuses of the process.
inline constexpr int kExitFailed = ExitPolicy::kExitStartFailed;
inline constexpr int kExitCutOff = 2;  // drain_grace ran out, or the exit hung
inline constexpr int kExitRankFailed = ExitPolicy::kExitRankFailed;

// On rank 0, after RankRuntime::Start: loads the model, serves it until a
// signal arrives, drains, and ends the job. Returns the exit status; an error
// if it could not start. When a rank fails, it ends all requests with the
// reason and exits the process without returning.
absl::StatusOr<int> Serve(const ServerConfig& config, RankRuntime& ranks,
                          ShutdownSignal& signal);

// On the other ranks: loads this rank's part of the model and computes until
// rank 0 ends the job. Returns 0 or an error; exits the process when another
// rank fails.
absl::StatusOr<int> RunWorker(const ServerConfig& config, RankRuntime& ranks);

}  // namespace moe
