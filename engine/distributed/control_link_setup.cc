#include "engine/distributed/control_link_setup.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "comm/collectives/all_gather_bytes.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// Equal for processes that reach each other over the loopback interface.
std::string LoopbackId(const std::string& host) {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  char network[64] = "";
  if (readlink("/proc/self/ns/net", network, sizeof(network) - 1) < 0) {
    network[0] = '\0';
  }
  return absl::StrCat(boot.empty() ? host : boot, " ", network);
}

// OK if `status` is OK on all ranks, else the first error by rank.
absl::Status AgreeOn(HostCommunicator& world, const absl::Status& status) {
  ASSIGN_OR_RETURN(const std::vector<std::string> problems,
                   AllGatherBytes(world, status.ok() ? "" : status.message()));
  for (const std::string& problem : problems) {
    if (!problem.empty()) return absl::UnavailableError(problem);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ControlLink>> OpenControlLink(
    HostCommunicator& world, ControlLinkOptions options, absl::Duration timeout,
    ControlLink::FailureListener listener) {
  ASSIGN_OR_RETURN(const std::vector<std::string> ids,
                   AllGatherBytes(world, LoopbackId(options.host)));
  options.rank = world.rank();
  options.size = world.size();
  options.loopback_only =
      std::all_of(ids.begin(), ids.end(),
                  [&](const std::string& id) { return id == ids[0]; });

  absl::StatusOr<std::unique_ptr<ControlLink>> link = nullptr;
  if (world.rank() == 0) link = ControlLink::Listen(options, listener);
  RETURN_IF_ERROR(AgreeOn(world, link.status()));
  ASSIGN_OR_RETURN(
      const std::vector<std::string> addresses,
      AllGatherBytes(world, world.rank() == 0 ? (*link)->address().Serialize()
                                              : std::string()));
  absl::Status status;
  if (world.rank() == 0) {
    status = (*link)->AwaitAll(timeout);
  } else {
    ASSIGN_OR_RETURN(ControlLinkAddress address,
                     ControlLinkAddress::Parse(addresses[0]));
    // Rank 0's first address is its loopback interface; on another host that
    // address belongs to another process.
    if (ids[world.rank()] != ids[0]) {
      address.hosts.erase(address.hosts.begin());
    }
    link = ControlLink::Connect(options, address, timeout, std::move(listener));
    status = link.status();
  }
  RETURN_IF_ERROR(AgreeOn(world, status));
  return link;
}

}  // namespace moe
