#pragma once

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace moe {

// The same code and message. The details of request_errors.h become the
// google.rpc.Status in the trailer `grpc-status-details-bin`.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace moe
