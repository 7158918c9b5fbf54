#include "comm/control/control_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace moe {
namespace {

constexpr int kSocketFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

std::string ErrorText(int number) {
  char buffer[128];
  return strerror_r(number, buffer, sizeof(buffer));
}

void SetNoDelay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

// 0, or errno.
int BindAndListen(int fd, const sockaddr* address, socklen_t length) {
  constexpr int kBacklog = 128;
  return bind(fd, address, length) == 0 && listen(fd, kBacklog) == 0 ? 0
                                                                     : errno;
}

FileDescriptor ListenIpv6(int& error) {
  FileDescriptor fd(socket(AF_INET6, kSocketFlags, 0));
  const int off = 0;
  sockaddr_in6 any{};
  any.sin6_family = AF_INET6;
  any.sin6_addr = in6addr_any;
  if (!fd.valid() ||
      setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) {
    error = errno;
    return {};
  }
  error =
      BindAndListen(fd.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any));
  return error == 0 ? std::move(fd) : FileDescriptor();
}

FileDescriptor ListenIpv4(bool loopback_only, int& error) {
  FileDescriptor fd(socket(AF_INET, kSocketFlags, 0));
  if (!fd.valid()) {
    error = errno;
    return {};
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(loopback_only ? INADDR_LOOPBACK : INADDR_ANY);
  error = BindAndListen(fd.get(), reinterpret_cast<sockaddr*>(&address),
                        sizeof(address));
  return error == 0 ? std::move(fd) : FileDescriptor();
}

// Waits until `fd` can be written, which is when a connection is there or has
// failed; 0, or an errno.
int AwaitConnection(int fd, const Deadline& deadline) {
  while (true) {
    pollfd wanted = {fd, POLLOUT, 0};
    const int64_t left = absl::ToInt64Milliseconds(deadline.Left());
    if (left <= 0) return ETIMEDOUT;
    const int ready =
        poll(&wanted, 1, static_cast<int>(std::min<int64_t>(left, 1000)));
    if (ready < 0 && errno != EINTR) return errno;
    if (ready <= 0) continue;
    int error = 0;
    socklen_t length = sizeof(error);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
    return error;
  }
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void FileDescriptor::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

absl::StatusOr<ListeningSocket> ListenOnFreePort(bool loopback_only) {
  int error = 0;
  ListeningSocket result;
  // One socket for both families; some systems have no IPv6.
  if (!loopback_only) result.socket = ListenIpv6(error);
  if (!result.socket.valid()) {
    result.socket = ListenIpv4(loopback_only, error);
  }
  if (!result.socket.valid()) {
    return absl::UnavailableError(absl::StrCat(
        "control link: cannot listen on any port: ", ErrorText(error)));
  }
  sockaddr_storage bound{};
  socklen_t length = sizeof(bound);
  getsockname(result.socket.get(), reinterpret_cast<sockaddr*>(&bound),
              &length);
  result.port =
      ntohs(bound.ss_family == AF_INET6
                ? reinterpret_cast<const sockaddr_in6*>(&bound)->sin6_port
                : reinterpret_cast<const sockaddr_in*>(&bound)->sin_port);
  return result;
}

FileDescriptor AcceptConnection(const FileDescriptor& listener) {
  FileDescriptor fd(
      accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (fd.valid()) SetNoDelay(fd.get());
  return fd;
}

absl::StatusOr<FileDescriptor> ConnectTo(const std::string& address, int port,
                                         const Deadline& deadline) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int error = EINVAL;
  if (getaddrinfo(address.c_str(), absl::StrCat(port).c_str(), &hints,
                  &found) == 0) {
    FileDescriptor fd(socket(found->ai_family, kSocketFlags, 0));
    error = errno;
    if (fd.valid()) {
      error =
          connect(fd.get(), found->ai_addr, found->ai_addrlen) == 0 ? 0 : errno;
      if (error == EINPROGRESS) error = AwaitConnection(fd.get(), deadline);
    }
    freeaddrinfo(found);
    if (error == 0) {
      SetNoDelay(fd.get());
      return fd;
    }
  }
  return absl::UnavailableError(absl::StrCat(
      "no connection to ", address, " port ", port, ": ", ErrorText(error)));
}

bool ReceiveInto(const FileDescriptor& socket, size_t max_bytes,
                 std::string& out) {
  char buffer[16 << 10];
  size_t received = 0;
  while (received < max_bytes) {
    const ssize_t n = recv(socket.get(), buffer,
                           std::min(sizeof(buffer), max_bytes - received), 0);
    if (n > 0) {
      out.append(buffer, n);
      received += n;
    } else if (n < 0 && errno == EINTR) {
      continue;
    } else {
      return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    }
  }
  return true;
}

bool SendFrom(const FileDescriptor& socket, std::string& out) {
  size_t sent = 0;
  bool ok = true;
  while (sent < out.size()) {
    const ssize_t n =
        send(socket.get(), out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
    if (n >= 0) {
      sent += n;
    } else if (errno != EINTR) {
      ok = errno == EAGAIN || errno == EWOULDBLOCK;
      break;
    }
  }
  out.erase(0, sent);
  return ok;
}

}  // namespace moe
