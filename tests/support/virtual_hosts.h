#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace moe {

// A network namespace that emulates a host, with its own loopback and "eth0".
struct VirtualHost {
  std::string name;     // "node0"
  std::string address;  // "10.77.0.1"
  int network = -1;     // descriptor of the namespace, for EnterVirtualHost
  int tap = -1;         // the other end of its eth0: reads and writes frames
};

// Creates hosts in new namespaces without names. Does not change the caller's
// network; the kernel removes the hosts when the last process that uses them
// ends. Needs root (CAP_NET_ADMIN, CAP_SYS_ADMIN) and /dev/net/tun:
// kFailedPrecondition with the system's reason otherwise. At most 200 hosts.
absl::StatusOr<std::vector<VirtualHost>> MakeVirtualHosts(int count);

// Moves this process (which must have one thread) to a host: network and host
// name.
absl::Status EnterVirtualHost(int network, const std::string& name);

}  // namespace moe
