#pragma once

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/communicator.h"
#include "comm/pending_operation.h"
#include "kernels/core/stream.h"
#include "kernels/core/tensor.h"

namespace moe {

// Gathers rows[r] rows from every rank r: receive [sum(rows), width] is ordered
// by rank. `rows` [size] is equal on all ranks; send [rows[rank], width] may be
// this rank's place in `receive`. size - 1 messages, fewer where ranks have no
// rows. Tensors must live until the handle is done.
absl::StatusOr<std::unique_ptr<PendingOperation>> BeginAllGatherV(
    Communicator& group, const TensorView& send, absl::Span<const int64_t> rows,
    const TensorView& receive, Stream& stream);

absl::Status AllGatherV(Communicator& group, const TensorView& send,
                        absl::Span<const int64_t> rows,
                        const TensorView& receive, Stream& stream);

}  // namespace moe
