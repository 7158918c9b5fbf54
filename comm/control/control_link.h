#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/control/control_frames.h"
#include "comm/control/control_handshake.h"
#include "comm/control/control_socket.h"

namespace moe {

struct ControlLinkOptions {
  int rank = 0;
  int size = 1;
  std::string host;  // this process's, for messages
  absl::Duration heartbeat = absl::Milliseconds(250);
  // A peer that is silent for longer has failed.
  absl::Duration watchdog = absl::Seconds(10);
  // Rank 0: take connections from this host only.
  bool loopback_only = false;
  // What the next heartbeat carries to rank 0, asked before each; "": nothing
  // new. Called on the link's thread; must return soon and not call the link.
  std::function<std::string()> report;
  // Asked before each heartbeat, in the same way: an error is a failure of this
  // rank.
  std::function<absl::Status()> self_check;
};

// Where rank 0 listens, and what proves that one belongs to its job; to be
// given to the other ranks by a way that others cannot read.
struct ControlLinkAddress {
  std::vector<std::string> hosts;  // numeric, in the order to be tried
  int port = 0;
  ControlSecret secret{};

  std::string Serialize() const;
  static absl::StatusOr<ControlLinkAddress> Parse(absl::string_view bytes);
};

// What is known of a rank at the other end.
struct ControlPeer {
  ControlIdentity identity;
  bool connected = false;  // the rest means nothing before
  bool left = false;
  bool failed = false;
  absl::Duration silence;  // since it was last heard of
  std::string report;      // the last one it gave
};

// Beside the ranks' communicators, a TCP connection of each to rank 0, by which
// they learn of each other's end: a process that dies closes its connection,
// whatever killed it; one that is stopped, or whose machine is gone, no longer
// sends heartbeats. The first failure is told to all ranks, is final, and is
// kUnavailable with the rank, host and process in its message. Heartbeats carry
// a report of the rank to rank 0, as bytes.
//
// Time in which this process itself did not run is not held against its peers.
// Rank 0's port is open until all ranks have come; connections without proof of
// the job's secret are dropped, and bounded in number, bytes and time. Nothing
// is encrypted.
//
// Thread-safe. A thread of its own does the work.
class ControlLink {
 public:
  // Longer reports are not sent.
  static constexpr size_t kMaxReportBytes = size_t{16} << 20;

  // Called once, on the link's thread, if the job fails, by Fail also.
  using FailureListener = std::function<void(const absl::Status& reason)>;

  // Rank 0's end; the other ranks connect while it runs.
  static absl::StatusOr<std::unique_ptr<ControlLink>> Listen(
      const ControlLinkOptions& options, FailureListener listener);
  // Another rank's: tries all addresses again and again until one works or
  // `timeout` has passed: kUnavailable.
  static absl::StatusOr<std::unique_ptr<ControlLink>> Connect(
      const ControlLinkOptions& options, const ControlLinkAddress& address,
      absl::Duration timeout, FailureListener listener);
  // Closes the connections: peers treat it as a failure unless Leave was
  // called.
  ~ControlLink();
  ControlLink(const ControlLink&) = delete;
  ControlLink& operator=(const ControlLink&) = delete;

  // Rank 0 only.
  const ControlLinkAddress& address() const { return address_; }
  // Rank 0 only: OK when all ranks have come; kDeadlineExceeded, naming those
  // that have not, after `timeout`; or the failure.
  absl::Status AwaitAll(absl::Duration timeout);

  void SetWatchdog(absl::Duration watchdog);

  // On rank 0 the others, in order; elsewhere rank 0.
  std::vector<ControlPeer> Peers() const;

  // This rank fails; later calls are ignored. Does not wait.
  void Fail(const absl::Status& reason);
  // The same for a reason that all ranks have agreed on and that names the
  // failed rank: it is sent as it is.
  void FailTogether(const absl::Status& reason);

  // Rank 0 only: the job has started. All ranks receive this and failures in
  // the same order, so that they agree on which came first.
  void MarkReady();
  // Whether the start is over, or was so when the job failed.
  bool started() const;
  // OK, or the failure.
  absl::Status status() const;

  // Not on rank 0: after a failure, returns when rank 0 has closed its
  // connection, or after `timeout`; at once if it is rank 0 that has failed.
  // For a rank that must not exit before rank 0 has notified the others.
  // May be called by the listener.
  void AwaitClosed(absl::Duration timeout);

  // This rank has finished: from now on its exit is no failure. Returns when
  // the peers (on rank 0 all ranks, elsewhere rank 0) have finished too;
  // kDeadlineExceeded if they have not within `timeout`; or the failure.
  absl::Status Leave(absl::Duration timeout);

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Peer {
    ControlPeer known;
    FileDescriptor socket;  // invalid: not yet, or no longer
    ControlFrameReader in{kMaxReportBytes};
    std::string out;
    TimePoint heard;
  };
  // A connection to rank 0 that has not authenticated itself yet.
  struct PendingPeer {
    FileDescriptor socket;
    ControlNonce challenge;
    ControlFrameReader in{kMaxHandshakeBytes};
    std::string out;
    TimePoint deadline;
  };

  ControlLink(const ControlLinkOptions& options, FailureListener listener);

  ControlIdentity Self() const;
  std::string Describe(const ControlIdentity& identity) const;
  void StartThread();
  void Wake();

  // All below with mutex_ held; sockets are closed by the thread only.
  void Run(std::unique_lock<std::mutex>& lock);
  void Poll(std::unique_lock<std::mutex>& lock);
  void NoteLateness();
  void AcceptStrangers();
  // False if the connection must be closed, or is no longer pending.
  bool ServePendingPeer(PendingPeer& pending_peer);
  void Authenticate(PendingPeer& pending_peer, absl::string_view hello);
  void Receive(Peer& peer);
  // False if the peer violates the protocol.
  bool Take(Peer& peer, ControlFrame frame);
  void MarkLost(Peer& peer, absl::string_view what);
  void SendHeartbeats();
  void CheckSilence();
  void Flush(Peer& peer);
  void RecordOwnFailure(const absl::Status& reason);
  void RecordFailure(const std::string& text);
  void SendToAll(ControlFrameType type, absl::string_view payload);
  int NumMissing() const;

  const ControlLinkOptions options_;
  const FailureListener listener_;
  ControlLinkAddress address_;
  FileDescriptor wake_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool leaving_ = false;
  bool failure_is_told_ = false;
  bool started_ = false;
  absl::Status failure_;
  absl::Duration watchdog_;
  TimePoint next_beat_;
  TimePoint last_round_;
  FileDescriptor listener_socket_;
  std::vector<Peer> peers_;
  std::vector<PendingPeer> pending_peers_;

  std::thread thread_;
};

}  // namespace moe
