#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/host_communicator.h"
#include "comm/pending_operation.h"

namespace moe {

// Gathers rows[r] rows of row_bytes from every rank r: receive
// [sum(rows), row_bytes] is ordered by rank. `rows` [size] is equal on all
// ranks; `send` may be this rank's place in `receive`. size - 1 messages, fewer
// where ranks have no rows. Buffers must live until the handle is done.
absl::StatusOr<std::unique_ptr<PendingOperation>> BeginAllGatherV(
    HostCommunicator& group, const void* send, absl::Span<const int64_t> rows,
    size_t row_bytes, void* receive);

absl::Status AllGatherV(HostCommunicator& group, const void* send,
                        absl::Span<const int64_t> rows, size_t row_bytes,
                        void* receive);

}  // namespace moe
