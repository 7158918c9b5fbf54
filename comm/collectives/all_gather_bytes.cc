#include "comm/collectives/all_gather_bytes.h"

#include <cstdint>
#include <vector>

#include "comm/collectives/row_blocks.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<std::vector<std::string>> AllGatherBytes(
    HostCommunicator& group, absl::string_view bytes) {
  const int64_t size = static_cast<int64_t>(bytes.size());
  std::vector<int64_t> sizes(group.size());
  RETURN_IF_ERROR(group.AllGather(&size, sizeof(size), sizes.data()));
  const std::vector<int64_t> offsets = RowOffsets(sizes);
  std::string all(offsets.back(), '\0');
  std::vector<SendBuffer> sends;
  std::vector<ReceiveBuffer> receives;
  // From this rank on, or all would send to rank 0 first.
  for (int i = 0; i < group.size(); ++i) {
    const int to = (group.rank() + i) % group.size();
    const int from = (group.rank() + group.size() - i) % group.size();
    sends.push_back({to, bytes.data(), bytes.size()});
    receives.push_back(
        {from, all.data() + offsets[from], static_cast<size_t>(sizes[from])});
  }
  RETURN_IF_ERROR(group.Exchange(sends, receives, "AllGatherBytes"));
  std::vector<std::string> parts;
  for (size_t r = 0; r < sizes.size(); ++r) {
    parts.push_back(all.substr(offsets[r], sizes[r]));
  }
  return parts;
}

}  // namespace moe
