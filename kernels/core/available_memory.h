#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace moe {

// Bytes that this process can still use: what the kernel calls available, or
// what its control groups leave if that is less. kInternal if neither can be
// read.
absl::StatusOr<int64_t> AvailableHostMemory();

// "the limit 629145600 in /sys/fs/cgroup/memory/a/memory.limit_in_bytes" if
// that is what bounds AvailableHostMemory; "" if the machine does.
std::string DescribeHostMemoryLimit();

}  // namespace moe
