#pragma once

#include "absl/time/time.h"
#include "server/generation/inference_core.h"
#include "server/grpc/grpc_server.h"

namespace moe {

// Refuses new requests, waits up to `grace` for the others to finish, ends the
// rest with UNAVAILABLE, and shuts the server down. True if every request
// finished and every client received its whole answer.
bool DrainServer(absl::Duration grace, InferenceCore& core, GrpcServer& server);

}  // namespace moe
