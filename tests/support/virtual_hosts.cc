#include "tests/support/virtual_hosts.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "absl/strings/str_cat.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr int kMaxHosts = 200;
constexpr int kMtu = 9000;  // as in data centres, with fewer frames to forward

absl::Status SystemError(absl::string_view what) {
  return absl::FailedPreconditionError(
      absl::StrCat("virtual hosts: ", what, ": ", std::strerror(errno)));
}

ifreq RequestFor(const char* interface) {
  ifreq request = {};
  std::strncpy(request.ifr_name, interface, IFNAMSIZ - 1);
  return request;
}

void SetAddress(const char* text, sockaddr& to) {
  auto* const address = reinterpret_cast<sockaddr_in*>(&to);
  address->sin_family = AF_INET;
  inet_pton(AF_INET, text, &address->sin_addr);
}

absl::Status BringUp(int socket, const char* interface) {
  ifreq request = RequestFor(interface);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  if (ioctl(socket, SIOCSIFFLAGS, &request) != 0) {
    return SystemError(absl::StrCat("raising ", interface));
  }
  return absl::OkStatus();
}

// Sets an option of this thread's network; ignored if the kernel lacks it.
void SetIfPresent(const char* path, const char* value) {
  const int file = open(path, O_WRONLY | O_CLOEXEC);
  if (file < 0) return;
  if (write(file, value, std::strlen(value)) < 0) errno = 0;
  close(file);
}

absl::Status ConfigureInterface(int socket, const std::string& address) {
  ifreq request = RequestFor("eth0");
  request.ifr_mtu = kMtu;
  if (ioctl(socket, SIOCSIFMTU, &request) != 0) return SystemError("MTU");
  request = RequestFor("eth0");
  SetAddress(address.c_str(), request.ifr_addr);
  if (ioctl(socket, SIOCSIFADDR, &request) != 0) return SystemError("address");
  request = RequestFor("eth0");
  SetAddress("255.255.255.0", request.ifr_netmask);
  if (ioctl(socket, SIOCSIFNETMASK, &request) != 0) return SystemError("mask");
  RETURN_IF_ERROR(BringUp(socket, "lo"));
  return BringUp(socket, "eth0");
}

// Runs on a thread that does not return to its network.
absl::Status MakeHost(VirtualHost& host) {
  if (unshare(CLONE_NEWNET) != 0) return SystemError("a network namespace");
  host.network = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (host.network < 0) return SystemError("/proc/thread-self/ns/net");
  // No traffic except that of the ranks.
  SetIfPresent("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
  SetIfPresent("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
  // Otherwise a connection that was idle for a round trip is in slow start
  // again.
  SetIfPresent("/proc/sys/net/ipv4/tcp_slow_start_after_idle", "0");
  host.tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (host.tap < 0) return SystemError("/dev/net/tun");
  ifreq request = RequestFor("eth0");
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (ioctl(host.tap, TUNSETIFF, &request) != 0) return SystemError("a TAP");
  const int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0) return SystemError("a socket");
  const absl::Status status = ConfigureInterface(control, host.address);
  close(control);
  return status;
}

}  // namespace

absl::StatusOr<std::vector<VirtualHost>> MakeVirtualHosts(int count) {
  if (count < 1 || count > kMaxHosts) {
    return absl::InvalidArgumentError(
        absl::StrCat(count, " virtual hosts; must be in [1, ", kMaxHosts, "]"));
  }
  std::vector<VirtualHost> hosts(count);
  for (int i = 0; i < count; ++i) {
    hosts[i].name = absl::StrCat("node", i);
    hosts[i].address = absl::StrCat("10.77.0.", i + 1);
    absl::Status status;
    std::thread([&] { status = MakeHost(hosts[i]); }).join();
    if (status.ok()) continue;
    for (const VirtualHost& host : hosts) {
      if (host.network >= 0) close(host.network);
      if (host.tap >= 0) close(host.tap);
    }
    return status;
  }
  return hosts;
}

absl::Status EnterVirtualHost(int network, const std::string& name) {
  if (setns(network, CLONE_NEWNET) != 0) return SystemError("entering");
  if (unshare(CLONE_NEWUTS) != 0 ||
      sethostname(name.data(), name.size()) != 0) {
    return SystemError("the host name");
  }
  return absl::OkStatus();
}

}  // namespace moe
