#pragma once

#include "absl/status/statusor.h"
#include "engine/distributed/exit_policy.h"
#include "engine/distributed/rank_runtime.h"
#include "server/config/server_config.h"
#include "server/process/shutdown_signal.h"

namespace moe {

// What the process ends with.
inline constexpr int kExitFailed = ExitPolicy::kExitStartFailed;
inline constexpr int kExitCutOff = 2;  // drain_grace ran out, or more
inline constexpr int kExitRankFailed = ExitPolicy::kExitRankFailed;

// Rank 0 of a job that has started: loads the model, serves it until a signal
// comes, drains, and lets the other ranks go. The exit status; an error if it
// could not start. When a rank fails, all requests end with the reason and the
// process ends here, without returning.
absl::StatusOr<int> Serve(const ServerConfig& config, RankRuntime& ranks,
                          ShutdownSignal& signal);

// Another rank: loads its share of the model and computes until rank 0 lets it
// go: 0; or an error. When another rank fails, the process ends here, too.
absl::StatusOr<int> Follow(const ServerConfig& config, RankRuntime& ranks);

}  // namespace moe
