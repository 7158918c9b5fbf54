#pragma once

#include <vector>

#include "absl/status/status.h"
#include "comm/host_communicator.h"
#include "engine/checkpoint/checkpoint.h"
#include "engine/checkpoint/partial_checksum.h"

namespace moe {

// Compares, together with the other ranks of `group`, the checksums of storages
// of which each has read a part: no rank reads all of them. Collective. `mine`
// is of Checkpoint::TakePartialChecksums. kDataLoss, on one rank or all, names
// file and tensor; other codes are the communicator's.
absl::Status CompareChecksums(const Checkpoint& checkpoint,
                              const std::vector<PartialChecksum>& mine,
                              HostCommunicator& group);

}  // namespace moe
