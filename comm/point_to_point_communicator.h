#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "comm/deadline.h"
#include "comm/host_communicator.h"

namespace moe {

// All operations of a HostCommunicator over host memory, made of messages
// between pairs of ranks that a derived class carries. With p ranks and n bytes
// a rank:
//   AllReduce  p - 1 messages of n bytes up to kSmallBytes, else
//              2 (p - 1) of n / p (reduce-scatter, all-gather): same bits
//   AllGather  p - 1 messages of n bytes
//   Broadcast  a binomial tree: ceil(log2 p) rounds
//   Barrier    ceil(log2 p) messages of one byte
class PointToPointCommunicator : public HostCommunicator {
 public:
  // Elements of scratch memory that an AllReduce of `count` large enough for
  // two rounds needs: those of both of two ranks, or a segment of each of more.
  static int64_t MaxAllReduceScratch(int64_t count, int ranks) {
    if (ranks == 1) return 0;
    return ranks == 2 ? 2 * count : count + ranks;
  }

  absl::Status AllReduce(absl::Span<float> data) final;
  absl::Status AllGather(const void* send, size_t bytes, void* receive) final;
  absl::Status Broadcast(void* data, size_t bytes, int root) final;
  absl::StatusOr<std::unique_ptr<PendingOperation>> BeginExchange(
      absl::Span<const SendBuffer> sends,
      absl::Span<const ReceiveBuffer> receives, const char* operation) final;
  absl::Status Barrier() final;
  void Abort(const absl::Status& reason) final;
  absl::Status status() const final;
  absl::StatusOr<std::unique_ptr<HostCommunicator>> Split(
      int color, int key, const std::string& name) final;

 protected:
  // The messages of one exchange, in flight.
  class Transfer {
   public:
    // Ends or cancels what is left; may block shortly.
    virtual ~Transfer() = default;
    // True once all messages have been sent and received.
    virtual absl::StatusOr<bool> Poll() = 0;
    // Blocks until done, or until the deadline (false). kAborted if a peer
    // aborted meanwhile.
    virtual absl::StatusOr<bool> WaitUntil(const Deadline& deadline) = 0;
    // Ranks whose messages are not here, or have not been taken, ascending.
    virtual std::vector<int> PendingPeers() const = 0;
  };

  // This rank's part of a group that Split makes.
  struct NewGroup {
    int color;
    std::vector<int> ranks;  // the members' ranks in this group, in order
    std::string name;
  };

  PointToPointCommunicator(std::string name, int rank,
                           std::vector<int> world_ranks,
                           const CommunicatorOptions& options);

  // Starts messages, none to this rank itself or empty. `sequence` numbers the
  // exchanges of the group and is equal on all ranks: messages of different
  // numbers must not match.
  virtual absl::StatusOr<std::unique_ptr<Transfer>> Start(
      absl::Span<const SendBuffer> sends,
      absl::Span<const ReceiveBuffer> receives, uint64_t sequence) = 0;

  // Tells the peers of the abort, bounded; any thread.
  virtual void SendAbort(const std::string& text) = 0;

  // Called when every rank of this group is known to be in Split; by ranks
  // without a new group too (nullptr).
  virtual absl::StatusOr<std::unique_ptr<HostCommunicator>> MakeGroup(
      const NewGroup* group, uint64_t sequence) = 0;

  // OK, or why this rank aborted the group (any thread). For transfers that
  // block.
  absl::Status abort_reason() const;

 private:
  class PendingExchange;

  // Up to this size one round is cheaper than two.
  static constexpr size_t kSmallBytes = 16 << 10;

  // BeginExchange whose messages match those of the same number on the peers.
  absl::StatusOr<std::unique_ptr<PendingOperation>> BeginNumbered(
      absl::Span<const SendBuffer> sends,
      absl::Span<const ReceiveBuffer> receives, const char* operation,
      uint64_t sequence);
  absl::Status CheckMessage(int peer, const void* data, size_t bytes,
                            const char* what, const char* operation) const;
  // Makes `error` final, unless an earlier one is, and returns the final one.
  absl::Status Fail(const absl::Status& error);

  absl::Status AllGatherSum(absl::Span<float> data);
  // sum[i] over the ranks of block(r)[i], in their order, where block(rank())
  // is `own` and the others lie in `others` in order of rank.
  void SumInRankOrder(const float* own, const float* others,
                      absl::Span<float> sum) const;
  float* Scratch(size_t count);

  uint64_t next_sequence_ = 0;
  std::vector<float> scratch_;

  mutable std::mutex mutex_;
  absl::Status status_;        // guarded by mutex_
  absl::Status abort_reason_;  // guarded by mutex_
};

}  // namespace moe
