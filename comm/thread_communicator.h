#pragma once

#include <memory>
#include <vector>

#include "comm/host_communicator.h"

namespace moe {

// A group whose ranks are threads of this process: for tests, and to try a
// layout without a launcher. Waiting threads sleep. Element r is for the thread
// that plays rank r; they share the group's mailboxes.
std::vector<std::unique_ptr<HostCommunicator>> MakeThreadCommunicators(
    int size, const CommunicatorOptions& options = {});

}  // namespace moe
