#include "server/process/drain.h"

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "engine/runtime/engine.h"
#include "kernels/core/steady_clock.h"

namespace moe {
namespace {

// For the last bytes of calls that have just ended. Calls that never end by
// themselves (Health.Watch) are cancelled after it.
constexpr absl::Duration kFlushTime = absl::Seconds(1);

}  // namespace

bool DrainServer(absl::Duration grace, InferenceCore& core,
                 GrpcServer& server) {
  const absl::Time deadline = SteadyNow() + grace;
  core.StartShutdown();
  Engine& engine = *core.model().engine;
  const bool finished = engine.WaitIdle(grace);
  engine.Shutdown(absl::UnavailableError(
      "the server shuts down and its drain_grace has run out"));
  // Clients that read slowly get the rest of the time.
  const bool delivered = core.WaitDelivered(deadline - SteadyNow());
  server.Shutdown(kFlushTime);
  return finished && delivered;
}

}  // namespace moe
