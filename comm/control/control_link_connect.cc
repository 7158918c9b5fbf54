// How a rank other than 0 connects to the control link.
#include <poll.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "comm/control/control_link.h"
#include "comm/deadline.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr absl::Duration kTryTimeout = absl::Seconds(2);
constexpr absl::Duration kRetryPause = absl::Milliseconds(50);

// A connection whose other end has proved to be rank 0.
struct Recognised {
  FileDescriptor socket;
  ControlIdentity peer;
  ControlFrameReader in;
};

// The next frame, which must be of `type`.
absl::StatusOr<std::string> ReadFrame(const FileDescriptor& socket,
                                      ControlFrameType type,
                                      const Deadline& deadline,
                                      ControlFrameReader& in) {
  while (true) {
    ASSIGN_OR_RETURN(auto frame, in.Next());
    if (frame.has_value()) {
      if (frame->type == type) return std::move(frame->payload);
      return absl::InvalidArgumentError("control link: unexpected message");
    }
    const int64_t left = absl::ToInt64Milliseconds(deadline.Left());
    if (left <= 0) {
      return absl::UnavailableError("the other end does not answer");
    }
    pollfd wanted = {socket.get(), POLLIN, 0};
    poll(&wanted, 1, static_cast<int>(std::min<int64_t>(left, 1000)));
    std::string bytes;
    if (!ReceiveInto(socket, kMaxHandshakeBytes, bytes) && bytes.empty()) {
      return absl::UnavailableError("the other end has closed the connection");
    }
    in.Add(bytes);
  }
}

absl::StatusOr<Recognised> TryAddress(const ControlIdentity& self,
                                      const ControlLinkAddress& address,
                                      const std::string& host,
                                      const Deadline& deadline) {
  ASSIGN_OR_RETURN(FileDescriptor socket,
                   ConnectTo(host, address.port, deadline));
  // Heartbeats may follow the handshake at once; rank 0's are short.
  ControlFrameReader in(kMaxHandshakeBytes);
  ASSIGN_OR_RETURN(
      const std::string challenge,
      ReadFrame(socket, ControlFrameType::kChallenge, deadline, in));
  ASSIGN_OR_RETURN(const ControlNonce nonce, ReadChallenge(challenge));
  const ControlNonce own = RandomBytes16();
  std::string out;
  AppendControlFrame(ControlFrameType::kHello,
                     MakeHello(address.secret, self, nonce, own), out);
  // Fits any socket's buffer.
  if (!SendFrom(socket, out) || !out.empty()) {
    return absl::UnavailableError("the other end has closed the connection");
  }
  ASSIGN_OR_RETURN(const std::string welcome,
                   ReadFrame(socket, ControlFrameType::kWelcome, deadline, in));
  ASSIGN_OR_RETURN(const ControlIdentity peer,
                   ReadWelcome(address.secret, nonce, own, welcome));
  return Recognised{std::move(socket), peer, std::move(in)};
}

absl::StatusOr<Recognised> TryAll(const ControlIdentity& self,
                                  const ControlLinkAddress& address,
                                  absl::Duration timeout) {
  const Deadline deadline(timeout);
  std::vector<std::string> why;
  do {
    why.clear();
    for (const std::string& host : address.hosts) {
      auto found = TryAddress(self, address, host,
                              Deadline(std::min(kTryTimeout, deadline.Left())));
      if (found.ok()) return found;
      why.push_back(absl::StrCat(host, ": ", found.status().message()));
    }
    absl::SleepFor(kRetryPause);
  } while (!deadline.Passed());
  return absl::UnavailableError(absl::StrCat(
      "control link: rank ", self.rank, " on host ", self.host,
      " cannot reach rank 0 at port ", address.port, " within ",
      absl::FormatDuration(timeout), ": ", absl::StrJoin(why, "; "),
      "; do the hosts' firewalls let the job's TCP connections pass?"));
}

}  // namespace

std::string ControlLinkAddress::Serialize() const {
  return absl::StrCat(
      absl::string_view(reinterpret_cast<const char*>(secret.data()),
                        secret.size()),
      port, ",", absl::StrJoin(hosts, ","));
}

absl::StatusOr<ControlLinkAddress> ControlLinkAddress::Parse(
    absl::string_view bytes) {
  ControlLinkAddress address;
  if (bytes.size() > address.secret.size()) {
    std::memcpy(address.secret.data(), bytes.data(), address.secret.size());
    bytes.remove_prefix(address.secret.size());
    address.hosts = absl::StrSplit(bytes, ',');
    if (address.hosts.size() > 1 &&
        absl::SimpleAtoi(address.hosts[0], &address.port)) {
      address.hosts.erase(address.hosts.begin());
      return address;
    }
  }
  return absl::InvalidArgumentError("control link: no address of rank 0");
}

absl::StatusOr<std::unique_ptr<ControlLink>> ControlLink::Connect(
    const ControlLinkOptions& options, const ControlLinkAddress& address,
    absl::Duration timeout, FailureListener listener) {
  auto link = std::unique_ptr<ControlLink>(
      new ControlLink(options, std::move(listener)));
  ASSIGN_OR_RETURN(Recognised recognised,
                   TryAll(link->Self(), address, timeout));
  link->peers_.resize(1);
  Peer& peer = link->peers_[0];
  peer.known.identity = recognised.peer;
  peer.known.connected = true;
  peer.socket = std::move(recognised.socket);
  peer.in = std::move(recognised.in);
  peer.in.set_max_payload(kMaxReportBytes);
  peer.heard = std::chrono::steady_clock::now();
  link->StartThread();
  return link;
}

}  // namespace moe
