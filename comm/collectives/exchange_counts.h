#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/host_communicator.h"
#include "comm/pending_operation.h"

namespace moe {

// Sends each rank its block of `send` and receives one of each: block r of both
// is of rank r, all have the same length. size - 1 messages. `receive` is
// filled when the handle is done, and need not outlive it, even after a
// failure. `operation` names it in messages and must be a literal.
// kInvalidArgument if the lengths differ or are no multiple of the group's
// size.
absl::StatusOr<std::unique_ptr<PendingOperation>> BeginExchangeCounts(
    HostCommunicator& group, std::vector<int64_t> send,
    absl::Span<int64_t> receive, const char* operation);

}  // namespace moe
