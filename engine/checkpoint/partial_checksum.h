#pragma once

#include <cstdint>
#include <vector>

namespace moe {

// What one rank has found of the checksum of a piece of storage in a file, of
// which it read some bytes only. The sums of ranks that read different bytes
// are combined by MergePartialChecksums. Trivially copyable.
struct PartialChecksum {
  int64_t storage = 0;  // its number in the checkpoint, equal on all ranks
  int64_t bytes = 0;    // that were read of it
  uint64_t sum = 0;     // Crc32Pieces::sum of them
};

// One entry for each storage, ascending: bytes added, sums combined.
std::vector<PartialChecksum> MergePartialChecksums(
    std::vector<PartialChecksum> parts);

}  // namespace moe
