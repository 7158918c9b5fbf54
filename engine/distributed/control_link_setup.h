#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/control/control_link.h"
#include "comm/host_communicator.h"

namespace moe {

// A control link of the ranks of `world`, who learn its address through it.
// Collective; OK when all ranks are connected, the same error everywhere
// if not. `options`: rank and size are filled in, loopback_only if all ranks
// are on one host.
absl::StatusOr<std::unique_ptr<ControlLink>> OpenControlLink(
    HostCommunicator& world, ControlLinkOptions options, absl::Duration timeout,
    ControlLink::FailureListener listener);

}  // namespace moe
