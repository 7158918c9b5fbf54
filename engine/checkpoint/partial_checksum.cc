#include "engine/checkpoint/partial_checksum.h"

#include <algorithm>

namespace moe {

std::vector<PartialChecksum> MergePartialChecksums(
    std::vector<PartialChecksum> parts) {
  std::sort(parts.begin(), parts.end(),
            [](const PartialChecksum& a, const PartialChecksum& b) {
              return a.storage < b.storage;
            });
  std::vector<PartialChecksum> merged;
  for (const PartialChecksum& part : parts) {
    if (merged.empty() || merged.back().storage != part.storage) {
      merged.push_back(part);
      continue;
    }
    merged.back().bytes += part.bytes;
    merged.back().sum ^= part.sum;
  }
  return merged;
}

}  // namespace moe
