#pragma once

#include "absl/status/statusor.h"
#include "proto/moe/v1/generation.pb.h"

namespace moe::client {

// The request that the command line asks for, without its prompt. Fields of
// flags that are not given stay unset. kInvalidArgument names the flag.
absl::StatusOr<v1::GenerateRequest> RequestFromFlags();

}  // namespace moe::client
