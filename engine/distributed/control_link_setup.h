#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/control/control_link.h"
#include "comm/host_communicator.h"

namespace moe {

// Opens the control link of the ranks of `world`, over which they exchange its
// address. Collective; OK when all ranks are connected, else the same error on
// every rank. Fills in rank, size and loopback_only (all ranks on one host) of
// `options`.
absl::StatusOr<std::unique_ptr<ControlLink>> OpenControlLink(
    HostCommunicator& world, ControlLinkOptions options, absl::Duration timeout,
    ControlLink::FailureListener listener);

}  // namespace moe
