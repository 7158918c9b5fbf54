#include "comm/control/control_link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "comm/deadline.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// At most so much of one connection is read in one round, so that none delays
// the others.
constexpr size_t kMaxReadBytes = 256 << 10;
constexpr size_t kMaxFailureText = 4096;
// The end of a connection is seen at once; the clocks are checked so often.
constexpr int kClosedPollMillis = 50;

using Clock = std::chrono::steady_clock;

Clock::duration Chrono(absl::Duration duration) {
  return std::chrono::duration_cast<Clock::duration>(
      absl::ToChronoNanoseconds(duration));
}

}  // namespace

ControlLink::ControlLink(const ControlLinkOptions& options,
                         FailureListener listener)
    : options_(options),
      listener_(std::move(listener)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      watchdog_(options.watchdog),
      next_beat_(Clock::now()),
      last_round_(Clock::now()) {}

ControlLink::~ControlLink() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    Wake();
  }
  if (thread_.joinable()) thread_.join();
}

ControlIdentity ControlLink::Self() const {
  return {options_.rank, getpid(), options_.host};
}

std::string ControlLink::Describe(const ControlIdentity& identity) const {
  return absl::StrCat("rank ", identity.rank, " of ", options_.size, " (host ",
                      identity.host, ", process ", identity.pid, ")");
}

void ControlLink::StartThread() {
  thread_ = std::thread([this] {
    std::unique_lock lock(mutex_);
    Run(lock);
  });
}

void ControlLink::Wake() {
  const uint64_t one = 1;
  // Fails only if the thread is awake already.
  [[maybe_unused]] const ssize_t n = write(wake_.get(), &one, sizeof(one));
}

void ControlLink::SetWatchdog(absl::Duration watchdog) {
  std::lock_guard lock(mutex_);
  watchdog_ = watchdog;
}

std::vector<ControlPeer> ControlLink::Peers() const {
  std::lock_guard lock(mutex_);
  const TimePoint now = Clock::now();
  std::vector<ControlPeer> result;
  for (const Peer& peer : peers_) {
    result.push_back(peer.known);
    if (peer.known.connected) {
      result.back().silence = absl::FromChrono(now - peer.heard);
    }
  }
  return result;
}

void ControlLink::Fail(const absl::Status& reason) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return;
  RecordOwnFailure(reason);
  Wake();
}

void ControlLink::FailTogether(const absl::Status& reason) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return;
  RecordFailure(std::string(reason.message()));
  Wake();
}

void ControlLink::MarkReady() {
  std::lock_guard lock(mutex_);
  if (!failure_.ok() || started_) return;
  started_ = true;
  SendToAll(ControlFrameType::kStarted, "");
  Wake();
}

bool ControlLink::started() const {
  std::lock_guard lock(mutex_);
  return started_;
}

void ControlLink::RecordOwnFailure(const absl::Status& reason) {
  RecordFailure(absl::StrCat(Describe(Self()), " failed: ", reason.message()));
}

absl::Status ControlLink::status() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

absl::Status ControlLink::Leave(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  leaving_ = true;
  SendToAll(ControlFrameType::kLeave, "");
  Wake();
  const auto all_left = [this] {
    return std::all_of(peers_.begin(), peers_.end(),
                       [](const Peer& peer) { return peer.known.left; });
  };
  changed_.wait_for(lock, absl::ToChronoNanoseconds(timeout),
                    [&] { return !failure_.ok() || all_left(); });
  RETURN_IF_ERROR(failure_);
  if (all_left()) return absl::OkStatus();
  std::vector<std::string> staying;
  for (const Peer& peer : peers_) {
    if (!peer.known.left) staying.push_back(Describe(peer.known.identity));
  }
  return absl::DeadlineExceededError(absl::StrCat(
      "control link: not finished within ", absl::FormatDuration(timeout), ": ",
      absl::StrJoin(staying, ", ")));
}

void ControlLink::AwaitClosed(absl::Duration timeout) {
  if (options_.rank == 0) return;
  const Deadline deadline(timeout);
  FileDescriptor socket;  // of its own: the thread may close the peer's
  while (true) {
    short events = POLLRDHUP;
    {
      std::lock_guard lock(mutex_);
      Peer& peer = peers_[0];
      if (!peer.socket.valid() || peer.known.failed) return;
      // The listener may be keeping the thread busy.
      Flush(peer);
      if (!peer.out.empty()) events |= POLLOUT;
      if (!socket.valid()) {
        socket = FileDescriptor(fcntl(peer.socket.get(), F_DUPFD_CLOEXEC, 0));
      }
    }
    if (!socket.valid() || deadline.Passed()) return;
    pollfd wanted = {socket.get(), events, 0};
    poll(&wanted, 1, kClosedPollMillis);
    if (wanted.revents & (POLLRDHUP | POLLHUP | POLLERR)) return;
  }
}

void ControlLink::Run(std::unique_lock<std::mutex>& lock) {
  while (!stopping_) {
    Poll(lock);
    if (stopping_) return;
    NoteLateness();
    AcceptStrangers();
    for (size_t i = 0; i < pending_peers_.size();) {
      if (ServePendingPeer(pending_peers_[i])) {
        ++i;
      } else {
        pending_peers_.erase(pending_peers_.begin() + i);
      }
    }
    for (Peer& peer : peers_) {
      if (peer.socket.valid()) Receive(peer);
    }
    CheckSilence();
    SendHeartbeats();
    if (!failure_.ok() && !failure_is_told_) {
      failure_is_told_ = true;
      const absl::Status reason = failure_;
      lock.unlock();
      if (listener_) listener_(reason);
      lock.lock();
    }
  }
}

void ControlLink::Poll(std::unique_lock<std::mutex>& lock) {
  std::vector<pollfd> wanted = {{wake_.get(), POLLIN, 0}};
  if (listener_socket_.valid()) {
    wanted.push_back({listener_socket_.get(), POLLIN, 0});
  }
  const auto add = [&](const FileDescriptor& socket, const std::string& out) {
    if (!socket.valid()) return;
    const int events = out.empty() ? POLLIN : POLLIN | POLLOUT;
    wanted.push_back({socket.get(), static_cast<short>(events), 0});
  };
  for (const Peer& peer : peers_) add(peer.socket, peer.out);
  for (const PendingPeer& pending_peer : pending_peers_) {
    add(pending_peer.socket, pending_peer.out);
  }
  const auto pause =
      std::chrono::ceil<std::chrono::milliseconds>(next_beat_ - Clock::now());
  if (failure_.ok() || failure_is_told_) {
    lock.unlock();
    poll(wanted.data(), wanted.size(),
         std::max(0, static_cast<int>(pause.count())));
    lock.lock();
  }
  uint64_t rings = 0;
  [[maybe_unused]] const ssize_t n = read(wake_.get(), &rings, sizeof(rings));
}

// This process or its machine may have been stopped: frames that peers sent
// meanwhile are still unread, so their timeouts start again.
void ControlLink::NoteLateness() {
  const TimePoint now = Clock::now();
  const auto late = now - last_round_ - Chrono(options_.heartbeat);
  last_round_ = now;
  if (late <= Chrono(options_.heartbeat)) return;
  for (Peer& peer : peers_) peer.heard = std::min(now, peer.heard + late);
}

void ControlLink::Receive(Peer& peer) {
  std::string bytes;
  const bool open = ReceiveInto(peer.socket, kMaxReadBytes, bytes);
  peer.in.Add(bytes);
  if (!bytes.empty()) peer.heard = Clock::now();
  while (true) {
    auto frame = peer.in.Next();
    if (frame.ok() && !frame->has_value()) break;
    if (!frame.ok() || !Take(peer, std::move(**frame))) {
      MarkLost(peer, "sent what is no control message");
      return;
    }
  }
  if (open) {
    Flush(peer);
  } else {
    MarkLost(peer, "has ended unexpectedly");
  }
}

bool ControlLink::Take(Peer& peer, ControlFrame frame) {
  switch (frame.type) {
    case ControlFrameType::kHeartbeat:
      if (!frame.payload.empty()) peer.known.report = std::move(frame.payload);
      return true;
    case ControlFrameType::kFailure:
      if (failure_.ok()) {
        peer.known.failed = options_.rank == 0;  // else rank 0 only reports it
        RecordFailure(frame.payload);
      }
      return true;
    case ControlFrameType::kStarted:
      if (options_.rank == 0) return false;
      started_ = started_ || failure_.ok();
      next_beat_ = Clock::now();  // clients may ask rank 0 for reports now
      return true;
    case ControlFrameType::kLeave:
      peer.known.left = true;
      changed_.notify_all();
      return true;
    default:
      return false;
  }
}

void ControlLink::MarkLost(Peer& peer, absl::string_view what) {
  peer.socket.Close();
  peer.out.clear();
  if (peer.known.left || !failure_.ok()) return;
  peer.known.failed = true;
  RecordFailure(absl::StrCat(Describe(peer.known.identity), " ", what));
}

void ControlLink::SendHeartbeats() {
  const TimePoint now = Clock::now();
  if (now < next_beat_) return;
  next_beat_ = now + Chrono(options_.heartbeat);
  if (options_.self_check && failure_.ok() && !leaving_) {
    const absl::Status status = options_.self_check();
    if (!status.ok()) RecordOwnFailure(status);
  }
  for (Peer& peer : peers_) {
    // A peer that does not read gets no more frames.
    if (!peer.socket.valid() || !peer.out.empty()) continue;
    std::string report;
    if (options_.rank != 0 && options_.report) report = options_.report();
    if (report.size() > kMaxReportBytes) report.clear();
    AppendControlFrame(ControlFrameType::kHeartbeat, report, peer.out);
    Flush(peer);
  }
}

void ControlLink::CheckSilence() {
  const TimePoint now = Clock::now();
  for (Peer& peer : peers_) {
    if (!peer.socket.valid() || peer.known.left || !failure_.ok()) continue;
    if (now - peer.heard > Chrono(watchdog_)) {
      peer.known.failed = true;
      RecordFailure(
          absl::StrCat(Describe(peer.known.identity), " has said nothing for ",
                       absl::FormatDuration(watchdog_),
                       ": it is stopped, or its machine or network is down"));
    }
  }
}

// A broken connection is found when it is read.
void ControlLink::Flush(Peer& peer) {
  if (peer.socket.valid()) SendFrom(peer.socket, peer.out);
}

void ControlLink::RecordFailure(const std::string& text) {
  failure_ = absl::UnavailableError(text.substr(0, kMaxFailureText));
  SendToAll(ControlFrameType::kFailure, failure_.message());
  changed_.notify_all();
}

void ControlLink::SendToAll(ControlFrameType type, absl::string_view payload) {
  for (Peer& peer : peers_) {
    if (!peer.socket.valid()) continue;
    AppendControlFrame(type, payload, peer.out);
    Flush(peer);
  }
}

}  // namespace moe
