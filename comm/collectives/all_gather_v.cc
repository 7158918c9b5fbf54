#include "comm/collectives/all_gather_v.h"

#include <vector>

#include "comm/collectives/all_to_all_v.h"
#include "comm/collectives/row_blocks.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginAllGatherV(
    Communicator& group, const TensorView& send, absl::Span<const int64_t> rows,
    const TensorView& receive, Stream& stream) {
  RETURN_IF_ERROR(CheckRows(group, rows, "AllGatherV: rows"));
  const std::vector<int64_t> offsets = RowOffsets(rows);
  RETURN_IF_ERROR(CheckShape(group, receive, offsets.back(), "AllGatherV"));
  const int own = group.rank(), size = group.size();
  RETURN_IF_ERROR(CheckShape(group, send, rows[own], "AllGatherV"));
  const auto place_of = [&](int rank) {
    return receive.Rows(offsets[rank], offsets[rank + 1]);
  };
  if (rows[own] > 0 && send.data != place_of(own).data) {
    RETURN_IF_ERROR(stream.Copy(send, place_of(own)));
  }
  std::vector<TensorMessage> sends, receives;
  for (int i = 1; i < size; ++i) {
    const int from = (own + size - i) % size;
    sends.push_back({(own + i) % size, send});
    receives.push_back({from, place_of(from)});
  }
  return group.BeginExchange(sends, receives, "AllGatherV", stream);
}

absl::Status AllGatherV(Communicator& group, const TensorView& send,
                        absl::Span<const int64_t> rows,
                        const TensorView& receive, Stream& stream) {
  ASSIGN_OR_RETURN(std::unique_ptr<PendingOperation> pending,
                   BeginAllGatherV(group, send, rows, receive, stream));
  return pending->Wait();
}

}  // namespace moe
