#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "comm/pending_operation.h"

namespace moe {

struct CommunicatorOptions {
  // Longest time that one wait for peers may take; after it the operation ends
  // with kDeadlineExceeded and the group is unusable.
  absl::Duration timeout = absl::Seconds(60);
  // A message of more bytes travels in several of at most this size (MPI counts
  // are 32 bit). Must be equal on all ranks.
  size_t max_message_bytes = size_t{1} << 30;
};

// What one rank has done in one group since it was made or reset. Copies of a
// rank to itself are not messages.
struct CommunicatorCounters {
  int64_t operations = 0;  // exchanges; a collective is made of one or more
  int64_t messages_sent = 0;
  int64_t messages_received = 0;
  int64_t bytes_sent = 0;
  int64_t bytes_received = 0;
  absl::Duration wait_time;  // in Wait(), whether or not peers were late
};

// One message of an Exchange. `peer` is a rank of the group and may be this
// rank itself (then it is a copy). Entries of 0 bytes are not sent.
struct SendBuffer {
  int peer = 0;
  const void* data = nullptr;  // [bytes], borrowed until the exchange is over
  size_t bytes = 0;
};

struct ReceiveBuffer {
  int peer = 0;
  void* data = nullptr;  // [bytes], borrowed until the exchange is over
  size_t bytes = 0;
};

// One group of ranks, seen from one of them: the smallest set of operations
// that every back end can do. Operations composed of them are free functions
// in comm/collectives.
//
// Every rank of the group must call the same operations in the same order with
// sizes that fit each other. All buffers are host memory. Operations return
// when they are complete on this rank.
//
// Errors. Every wait is bounded by CommunicatorOptions::timeout. The first
// failure is final: from then on every operation returns it. The codes are
//   kInvalidArgument   a bad argument here, found before anything was sent (the
//                      group remains usable);
//   kDeadlineExceeded  peers, named in the message, did not come in time;
//   kAborted           a rank of the group called Abort, with its text;
//   kInternal          the transport said so, or a peer sent another size.
// Messages name the operation, the group, the step and the ranks. After a
// failure the transport may still read or fill the buffers of the failed
// operation, MPI even when the communicator is destroyed: keep them until the
// process ends (comm/kept_memory.h), which it should do soon.
//
// Thread-compatible: one thread at a time, except Abort, which any thread may
// call at any time.
class HostCommunicator {
 public:
  virtual ~HostCommunicator() = default;
  HostCommunicator(const HostCommunicator&) = delete;
  HostCommunicator& operator=(const HostCommunicator&) = delete;

  const std::string& name() const { return name_; }
  int rank() const { return rank_; }
  int size() const { return static_cast<int>(world_ranks_.size()); }
  // Of each rank of the group, its rank in the group of all. [size]
  const std::vector<int>& world_ranks() const { return world_ranks_; }
  const CommunicatorOptions& options() const { return options_; }

  const CommunicatorCounters& counters() const { return counters_; }
  void ResetCounters() { counters_ = CommunicatorCounters(); }

  // The number of the engine's step, for messages; -1: none.
  void set_step(int64_t step) { step_ = step; }
  int64_t step() const { return step_; }

  // data[i] = sum over the ranks of their data[i], added in the order of the
  // ranks 0, 1, ... in float32: the same bits on every rank and in every run.
  virtual absl::Status AllReduce(absl::Span<float> data) = 0;

  // receive [size, bytes]: row r is `send` of rank r. `send` may be this rank's
  // row of `receive`.
  virtual absl::Status AllGather(const void* send, size_t bytes,
                                 void* receive) = 0;

  // `data` of rank `root` to all.
  virtual absl::Status Broadcast(void* data, size_t bytes, int root) = 0;

  // Starts all the sends and receives at once; done when Wait() of the handle
  // returns. Several messages between the same two ranks match in the order of
  // the lists. Buffers must not overlap, and must live until the handle is
  // done. Other operations may run meanwhile, in the same order on all ranks.
  // `operation` names it in messages and must be a literal. The communicator
  // must outlive the handle; destroying a handle waits for it.
  virtual absl::StatusOr<std::unique_ptr<PendingOperation>> BeginExchange(
      absl::Span<const SendBuffer> sends,
      absl::Span<const ReceiveBuffer> receives, const char* operation) = 0;

  // BeginExchange and Wait.
  absl::Status Exchange(absl::Span<const SendBuffer> sends,
                        absl::Span<const ReceiveBuffer> receives,
                        const char* operation = "Exchange");

  // Returns OK when every rank has called it.
  virtual absl::Status Barrier() = 0;

  // Aborts this group: operations of this rank, and of every peer that can
  // still be reached, end with kAborted and this text. Does not wait for peers
  // longer than a second. Groups made by Split are not affected.
  virtual void Abort(const absl::Status& reason) = 0;

  // OK, or the failure that made this group unusable. Any thread.
  virtual absl::Status status() const = 0;

  // Makes a group of all ranks that give the same `color` (>= 0), ordered by
  // (key, rank); a rank with color -1 gets nullptr. Every rank of this group
  // must call it, the members of one new group with the same name.
  virtual absl::StatusOr<std::unique_ptr<HostCommunicator>> Split(
      int color, int key, const std::string& name) = 0;

  // "group 'expert' (rank 1 of 4, world rank 5), step 12", for messages.
  std::string Describe() const;
  // "rank 2 (world rank 6)".
  std::string DescribePeer(int peer) const;

 protected:
  HostCommunicator(std::string name, int rank, std::vector<int> world_ranks,
                   const CommunicatorOptions& options);

  CommunicatorCounters counters_;

 private:
  const std::string name_;
  const int rank_;
  const std::vector<int> world_ranks_;
  const CommunicatorOptions options_;
  // Atomic, for Abort and status() may describe the group from another thread.
  std::atomic<int64_t> step_{-1};
};

}  // namespace moe
