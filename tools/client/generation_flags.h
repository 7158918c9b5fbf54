#pragma once

#include "absl/status/statusor.h"
#include "proto/moe/v1/generation.pb.h"

namespace moe::client {

// The request of the command line, without its prompt. Fields whose flags are
// not given stay unset. kInvalidArgument names the flag.
absl::StatusOr<v1::GenerateRequest> RequestFromFlags();

}  // namespace moe::client
