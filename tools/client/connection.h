#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace moe::client {

// A channel by --address and the --tls flags; it connects when first used.
// kInvalidArgument if the address is empty or a certificate file cannot be
// read.
absl::StatusOr<std::shared_ptr<grpc::Channel>> OpenChannel();

// The value of --address.
std::string ServerAddress();

// Sets the deadline of the call by --timeout, or by `fallback` if that is
// unset.
void SetDeadline(absl::Duration fallback, grpc::ClientContext* context);

}  // namespace moe::client
