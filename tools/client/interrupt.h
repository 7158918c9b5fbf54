#pragma once

#include <functional>

namespace moe::client {

// Calls `callback` in a thread of its own at the first SIGINT or SIGTERM; the
// second ends the process at once. Once per process, before it starts threads
// (those that run already would still get the signals).
void OnInterrupt(std::function<void()> callback);

}  // namespace moe::client
