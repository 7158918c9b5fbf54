#pragma once

#include <cstdint>
#include <vector>

namespace moe {

// One rank's part of the checksum of a storage in a file, of which it has read
// some bytes. MergePartialChecksums combines the sums of ranks that read
// different bytes. Trivially copyable.
struct PartialChecksum {
  int64_t storage = 0;  // its number in the checkpoint, equal on all ranks
  int64_t bytes = 0;    // read by the rank
  uint64_t sum = 0;     // Crc32Pieces::sum of them
};

// One entry for each storage, ascending: bytes added, sums combined.
std::vector<PartialChecksum> MergePartialChecksums(
    std::vector<PartialChecksum> parts);

}  // namespace moe
