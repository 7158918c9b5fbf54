#include "comm/collectives/all_gather_v.h"

#include <cstring>
#include <vector>

#include "comm/collectives/all_to_all_v.h"
#include "comm/collectives/row_blocks.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<std::unique_ptr<PendingOperation>> BeginAllGatherV(
    HostCommunicator& group, const void* send, absl::Span<const int64_t> rows,
    size_t row_bytes, void* receive) {
  RETURN_IF_ERROR(CheckRows(group, rows, "AllGatherV: rows"));
  const std::vector<int64_t> offsets = RowOffsets(rows);
  auto* const base = static_cast<std::byte*>(receive);
  const int own = group.rank(), size = group.size();
  const size_t own_bytes = rows[own] * row_bytes;
  std::byte* const own_place = base + offsets[own] * row_bytes;
  if (own_bytes > 0 && send != own_place) {
    std::memcpy(own_place, send, own_bytes);
  }
  std::vector<SendBuffer> sends;
  std::vector<ReceiveBuffer> receives;
  for (int i = 1; i < size; ++i) {
    const int from = (own + size - i) % size;
    sends.push_back({(own + i) % size, send, own_bytes});
    receives.push_back({from, base + offsets[from] * row_bytes,
                        static_cast<size_t>(rows[from]) * row_bytes});
  }
  return group.BeginExchange(sends, receives, "AllGatherV");
}

absl::Status AllGatherV(HostCommunicator& group, const void* send,
                        absl::Span<const int64_t> rows, size_t row_bytes,
                        void* receive) {
  ASSIGN_OR_RETURN(std::unique_ptr<PendingOperation> pending,
                   BeginAllGatherV(group, send, rows, row_bytes, receive));
  return pending->Wait();
}

}  // namespace moe
