#include "server/grpc/connection_listener.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "kernels/core/status_macros.h"
#include "kernels/core/steady_clock.h"
#include "server/grpc/file_limit.h"
#include "server/logging/log.h"

namespace moe {
namespace {

// File descriptors that are kept free for the rest of the process.
constexpr int64_t kReservedFiles = 32;
// How long to wait, when no descriptor is free, before the next try.
constexpr int kPauseMs = 100;
// Between two log lines about refused connections.
constexpr absl::Duration kLogInterval = absl::Seconds(10);

bool SetOption(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

void SetPort(sockaddr* address, int port) {
  const in_port_t network_port = htons(static_cast<uint16_t>(port));
  if (address->sa_family == AF_INET6) {
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = network_port;
  } else {
    reinterpret_cast<sockaddr_in*>(address)->sin_port = network_port;
  }
}

int PortOf(int fd) {
  sockaddr_storage address = {};
  socklen_t size = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.ss_family == AF_INET6
                   ? reinterpret_cast<sockaddr_in6*>(&address)->sin6_port
                   : reinterpret_cast<sockaddr_in*>(&address)->sin_port);
}

// A listening socket, or -1 with errno.
int Listen(const addrinfo& info) {
  const int fd =
      socket(info.ai_family, info.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK,
             info.ai_protocol);
  if (fd < 0) return -1;
  // "::" includes IPv4, whatever the system's default.
  if (info.ai_family == AF_INET6) {
    SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
  }
  // The port is usable while connections of an earlier server time out.
  if (SetOption(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
      bind(fd, info.ai_addr, info.ai_addrlen) == 0 &&
      listen(fd, SOMAXCONN) == 0) {
    return fd;
  }
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

// True if this host does not have the address: "localhost" may resolve to ::1
// on a host without IPv6.
bool IsMissingAddress(int error) {
  return error == EAFNOSUPPORT || error == EADDRNOTAVAIL;
}

// "[::1]" becomes "::1".
std::string WithoutBrackets(const std::string& address) {
  if (!absl::StartsWith(address, "[") || !absl::EndsWith(address, "]")) {
    return address;
  }
  return address.substr(1, address.size() - 2);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ConnectionListener>> ConnectionListener::Open(
    const std::string& address, int port) {
  std::unique_ptr<ConnectionListener> listener(new ConnectionListener);
  RETURN_IF_ERROR(listener->Bind(address, port));
  return listener;
}

absl::Status ConnectionListener::Bind(const std::string& address, int port) {
  const auto fail = [&](absl::string_view why) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address, ", port ", port,
                     " (server.address, server.port): ", why));
  };
  stop_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (stop_ < 0) return fail(std::strerror(errno));
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(WithoutBrackets(address).c_str(),
                                std::to_string(port).c_str(), &hints, &found);
  if (error != 0) return fail(gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found,
                                                             freeaddrinfo);
  std::string why = "the name has no address";
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    SetPort(info->ai_addr, port_ == 0 ? port : port_);
    const int fd = Listen(*info);
    if (fd < 0) {
      why = std::strerror(errno);
      if (IsMissingAddress(errno)) continue;
      return fail(why);
    }
    sockets_.push_back(fd);
    port_ = PortOf(fd);
  }
  return sockets_.empty() ? fail(why) : absl::OkStatus();
}

ConnectionListener::~ConnectionListener() {
  if (thread_.joinable()) {
    stopping_ = true;
    eventfd_write(stop_, 1);
    thread_.join();
  }
  for (const int fd : sockets_) close(fd);
  if (stop_ >= 0) close(stop_);
}

void ConnectionListener::Start(absl::Duration user_timeout, Take take) {
  user_timeout_ms_ = static_cast<int>(absl::ToInt64Milliseconds(user_timeout));
  take_ = std::move(take);
  thread_ = std::thread([this] { Run(); });
}

void ConnectionListener::Run() {
  std::vector<pollfd> polled;
  for (const int fd : sockets_) polled.push_back({fd, POLLIN, 0});
  polled.push_back({stop_, POLLIN, 0});
  while (!stopping_) {
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    for (size_t i = 0; i + 1 < polled.size(); ++i) {
      if (polled[i].revents != 0) Accept(polled[i].fd);
    }
  }
}

void ConnectionListener::Accept(int listening) {
  while (!stopping_) {
    const int fd =
        accept4(listening, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR || errno == ECONNABORTED) continue;
      // Connections wait in the kernel's queue until a descriptor is free.
      CountRefused(std::strerror(errno));
      Pause();
      return;
    }
    // The kernel gives out the lowest free number.
    if (fd >= FileLimit() - kReservedFiles) {
      close(fd);
      CountRefused("the limit of open files is near");
      continue;
    }
    Prepare(fd);
    take_(fd);
  }
}

// The options that gRPC sets on sockets it accepts itself.
void ConnectionListener::Prepare(int fd) const {
  SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, user_timeout_ms_);
}

void ConnectionListener::CountRefused(const char* why) {
  ++num_refused_;
  const absl::Time now = SteadyNow();
  if (now - last_log_ < kLogInterval) return;
  Log(Severity::kError, "connections_refused",
      {{"connections", std::exchange(num_refused_, 0)},
       {"open_files_limit", FileLimit()},
       {"reason", why}});
  last_log_ = now;
}

void ConnectionListener::Pause() const {
  pollfd stop = {stop_, POLLIN, 0};
  poll(&stop, 1, kPauseMs);
}

}  // namespace moe
