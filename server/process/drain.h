#pragma once

#include "absl/time/time.h"
#include "server/generation/inference_core.h"
#include "server/grpc/grpc_server.h"

namespace moe {

// Ends the service: refuses new requests, lets those that run or wait finish
// for as long as `grace`, ends the rest with UNAVAILABLE, and closes the
// server. True if every request has finished and its answer has been taken.
bool DrainServer(absl::Duration grace, InferenceCore& core, GrpcServer& server);

}  // namespace moe
