#pragma once

#include <functional>

namespace moe::client {

// Calls `callback` on a separate thread at the first SIGINT or SIGTERM; the
// second ends the process at once. Call it once per process, before other
// threads start (running threads would still receive the signals).
void OnInterrupt(std::function<void()> callback);

}  // namespace moe::client
