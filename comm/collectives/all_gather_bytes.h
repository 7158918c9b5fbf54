#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "comm/host_communicator.h"

namespace moe {

// Every rank's `bytes`, by rank; lengths may differ. For what is told at start.
absl::StatusOr<std::vector<std::string>> AllGatherBytes(
    HostCommunicator& group, absl::string_view bytes);

}  // namespace moe
