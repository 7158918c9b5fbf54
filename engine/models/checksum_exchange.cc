#include "engine/models/checksum_exchange.h"

#include <algorithm>
#include <cstdint>

#include "kernels/core/status_macros.h"

namespace moe {

absl::Status CompareChecksums(const Checkpoint& checkpoint,
                              const std::vector<PartialChecksum>& mine,
                              HostCommunicator& group) {
  const auto size = static_cast<size_t>(group.size());
  // Ranks may have read different files: their lists differ in length.
  const auto count = static_cast<int64_t>(mine.size());
  std::vector<int64_t> counts(size);
  RETURN_IF_ERROR(group.AllGather(&count, sizeof(count), counts.data()));
  const auto longest =
      static_cast<size_t>(*std::max_element(counts.begin(), counts.end()));
  if (longest == 0) return absl::OkStatus();
  std::vector<PartialChecksum> padded = mine;
  padded.resize(longest);
  std::vector<PartialChecksum> gathered(size * longest);
  RETURN_IF_ERROR(group.AllGather(
      padded.data(), longest * sizeof(PartialChecksum), gathered.data()));
  std::vector<PartialChecksum> all;
  for (size_t r = 0; r < size; ++r) {
    const auto begin = gathered.begin() + static_cast<int64_t>(r * longest);
    all.insert(all.end(), begin, begin + counts[r]);
  }
  return checkpoint.CheckPartialChecksums(MergePartialChecksums(std::move(all)),
                                          group.rank(), group.size());
}

}  // namespace moe
