#include "comm/collectives/all_gather_bytes.h"

#include <cstdint>
#include <numeric>

#include "comm/collectives/all_gather_v.h"
#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<std::vector<std::string>> AllGatherBytes(
    HostCommunicator& group, absl::string_view bytes) {
  const int64_t size = static_cast<int64_t>(bytes.size());
  std::vector<int64_t> sizes(group.size());
  RETURN_IF_ERROR(group.AllGather(&size, sizeof(size), sizes.data()));
  std::string all(std::accumulate(sizes.begin(), sizes.end(), int64_t{0}),
                  '\0');
  RETURN_IF_ERROR(
      AllGatherV(group, bytes.data(), sizes, /*row_bytes=*/1, all.data()));
  std::vector<std::string> parts;
  size_t begin = 0;
  for (const int64_t part : sizes) {
    parts.push_back(all.substr(begin, part));
    begin += part;
  }
  return parts;
}

}  // namespace moe
