#pragma once

#include <cstdint>

#include "absl/status/statusor.h"

namespace moe {

// Bytes that this process can still use: what the kernel calls available, or
// what its control group leaves if that is less. kInternal if neither can be
// read.
absl::StatusOr<int64_t> AvailableHostMemory();

}  // namespace moe
