#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "comm/host_communicator.h"

namespace moe {

// Copies what `rank` sends to itself, the i-th such send to the i-th such
// receive. kInvalidArgument, with nothing copied, if they do not pair up.
absl::Status CopyToSelf(int rank, absl::Span<const SendBuffer> sends,
                        absl::Span<const ReceiveBuffer> receives,
                        const char* operation);

// The messages that really travel: without those of `rank` to itself and the
// empty ones, and none above `max_bytes`. Order is kept.
std::vector<SendBuffer> SplitIntoPieces(absl::Span<const SendBuffer> sends,
                                        int rank, size_t max_bytes);
std::vector<ReceiveBuffer> SplitIntoPieces(
    absl::Span<const ReceiveBuffer> receives, int rank, size_t max_bytes);

}  // namespace moe
