#include "server/process/drain.h"

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "engine/runtime/engine.h"

namespace moe {
namespace {

// For the last bytes of calls that have just ended. Calls that never end by
// themselves (Health.Watch) are cancelled after it.
constexpr absl::Duration kFlushTime = absl::Seconds(1);

}  // namespace

bool DrainServer(absl::Duration grace, InferenceCore& core,
                 GrpcServer& server) {
  const absl::Time deadline = absl::Now() + grace;
  core.StartShutdown();
  Engine& engine = *core.model().engine;
  const bool finished = engine.WaitIdle(deadline);
  engine.Shutdown(absl::UnavailableError(
      "the server shuts down and its drain_grace has run out"));
  // Clients that read slowly get the rest of the time.
  const bool delivered = core.WaitDelivered(deadline);
  server.Shutdown(absl::Now() + kFlushTime);
  return finished && delivered;
}

}  // namespace moe
