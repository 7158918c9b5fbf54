// How rank 0 of a control link accepts the other ranks.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "comm/control/control_link.h"
#include "comm/control/interface_addresses.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

constexpr size_t kMaxStrangers = 64;
constexpr std::chrono::seconds kHelloTimeout(5);

using Clock = std::chrono::steady_clock;

}  // namespace

absl::StatusOr<std::unique_ptr<ControlLink>> ControlLink::Listen(
    const ControlLinkOptions& options, FailureListener listener) {
  auto link = std::unique_ptr<ControlLink>(
      new ControlLink(options, std::move(listener)));
  ASSIGN_OR_RETURN(ListeningSocket listening,
                   ListenOnFreePort(options.loopback_only));
  link->listener_socket_ = std::move(listening.socket);
  link->address_.port = listening.port;
  link->address_.secret = RandomBytes16();
  link->address_.hosts.push_back("127.0.0.1");
  if (!options.loopback_only) {
    for (std::string& host : InterfaceAddresses()) {
      link->address_.hosts.push_back(std::move(host));
    }
  }
  link->peers_.resize(options.size - 1);
  for (int r = 1; r < options.size; ++r) {
    link->peers_[r - 1].known.identity.rank = r;
  }
  link->StartThread();
  return link;
}

absl::Status ControlLink::AwaitAll(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                    [this] { return !failure_.ok() || NumMissing() == 0; });
  RETURN_IF_ERROR(failure_);
  if (NumMissing() == 0) return absl::OkStatus();
  std::vector<int> missing;
  for (const Peer& peer : peers_) {
    if (!peer.known.connected) missing.push_back(peer.known.identity.rank);
  }
  return absl::DeadlineExceededError(absl::StrCat(
      "control link: of ", options_.size,
      " ranks, these have not connected to ", "rank 0 (",
      absl::StrJoin(address_.hosts, ", "), " port ", address_.port, ") within ",
      absl::FormatDuration(timeout), ": ", absl::StrJoin(missing, ", ")));
}

void ControlLink::AcceptStrangers() {
  if (!listener_socket_.valid()) return;
  while (true) {
    FileDescriptor socket = AcceptConnection(listener_socket_);
    if (!socket.valid()) return;
    // The oldest has had the most time to authenticate.
    if (pending_peers_.size() >= kMaxStrangers) {
      pending_peers_.erase(pending_peers_.begin());
    }
    PendingPeer pending_peer;
    pending_peer.socket = std::move(socket);
    pending_peer.challenge = RandomBytes16();
    pending_peer.deadline = Clock::now() + kHelloTimeout;
    AppendControlFrame(ControlFrameType::kChallenge,
                       MakeChallenge(pending_peer.challenge), pending_peer.out);
    pending_peers_.push_back(std::move(pending_peer));
  }
}

bool ControlLink::ServePendingPeer(PendingPeer& pending_peer) {
  if (Clock::now() > pending_peer.deadline) return false;
  std::string bytes;
  if (!SendFrom(pending_peer.socket, pending_peer.out) ||
      !ReceiveInto(pending_peer.socket, kMaxHandshakeBytes + 64, bytes)) {
    return false;
  }
  pending_peer.in.Add(bytes);
  const auto frame = pending_peer.in.Next();
  if (!frame.ok()) return false;
  if (!frame->has_value()) return true;
  if ((*frame)->type == ControlFrameType::kHello) {
    Authenticate(pending_peer, (*frame)->payload);
  }
  return false;
}

void ControlLink::Authenticate(PendingPeer& pending_peer,
                               absl::string_view hello) {
  const auto read = ReadHello(address_.secret, pending_peer.challenge, hello);
  if (!read.ok() || read->peer.rank < 1 || read->peer.rank >= options_.size) {
    return;
  }
  Peer& peer = peers_[read->peer.rank - 1];
  if (peer.known.connected) return;
  peer.known.identity = read->peer;
  peer.known.connected = true;
  peer.socket = std::move(pending_peer.socket);
  peer.in = std::move(pending_peer.in);
  peer.in.set_max_payload(kMaxReportBytes);
  peer.heard = Clock::now();
  AppendControlFrame(
      ControlFrameType::kWelcome,
      MakeWelcome(address_.secret, Self(), pending_peer.challenge, read->nonce),
      peer.out);
  if (!failure_.ok()) {
    AppendControlFrame(ControlFrameType::kFailure, failure_.message(),
                       peer.out);
  }
  Flush(peer);
  // Connections that are not authenticated yet are closed at their deadline.
  if (NumMissing() == 0) listener_socket_.Close();
  changed_.notify_all();
}

int ControlLink::NumMissing() const {
  return static_cast<int>(
      std::count_if(peers_.begin(), peers_.end(),
                    [](const Peer& peer) { return !peer.known.connected; }));
}

}  // namespace moe
