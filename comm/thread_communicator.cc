#include "comm/thread_communicator.h"

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <numeric>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "comm/point_to_point_communicator.h"

namespace moe {
namespace {

// What the ranks of a group share. A message is copied into the mailbox of its
// receiver, so that senders never wait.
struct ThreadGroup {
  struct Message {
    uint64_t sequence;
    std::vector<std::byte> bytes;
  };

  explicit ThreadGroup(int size)
      : mailboxes(size * size), changed(size), num_ranks(size) {}

  std::deque<Message>& Mailbox(int from, int to) {
    return mailboxes[from * num_ranks + to];
  }

  std::mutex mutex;
  // All guarded by mutex.
  std::vector<std::deque<Message>> mailboxes;    // [from, to]
  std::vector<std::condition_variable> changed;  // [to]
  std::string abort_text;                        // empty: no abort
  // Groups being made by Split: (its sequence, color) -> the group, until all
  // of its members have taken it.
  struct NewGroup {
    std::shared_ptr<ThreadGroup> group;  // shared by its ranks
    int taken = 0;
  };
  std::map<std::pair<uint64_t, int>, NewGroup> new_groups;

  const int num_ranks;
};

class ThreadCommunicator : public PointToPointCommunicator {
 public:
  ThreadCommunicator(std::string name, int rank, std::vector<int> world_ranks,
                     const CommunicatorOptions& options,
                     std::shared_ptr<ThreadGroup> group)
      : PointToPointCommunicator(std::move(name), rank, std::move(world_ranks),
                                 options),
        group_(std::move(group)) {}

 protected:
  absl::StatusOr<std::unique_ptr<Transfer>> Start(
      absl::Span<const SendBuffer> sends,
      absl::Span<const ReceiveBuffer> receives, uint64_t sequence) override;
  void SendAbort(const std::string& text) override;
  absl::StatusOr<std::unique_ptr<HostCommunicator>> MakeGroup(
      const NewGroup* group, uint64_t sequence) override;

 private:
  class Receives;
  const std::shared_ptr<ThreadGroup> group_;  // shared by the group's ranks
};

class ThreadCommunicator::Receives : public Transfer {
 public:
  Receives(std::shared_ptr<ThreadGroup> group, int rank,
           absl::Span<const ReceiveBuffer> receives, uint64_t sequence)
      : group_(std::move(group)),
        rank_(rank),
        sequence_(sequence),
        pending_(receives.begin(), receives.end()) {}

  absl::StatusOr<bool> Poll() override {
    const std::lock_guard<std::mutex> lock(group_->mutex);
    return TakeArrived();
  }

  absl::StatusOr<bool> WaitUntil(const Deadline& deadline) override {
    std::unique_lock<std::mutex> lock(group_->mutex);
    while (true) {
      absl::StatusOr<bool> done = TakeArrived();
      if (!done.ok() || *done) return done;
      if (deadline.Passed()) return false;
      // Whole hours of an infinite timeout, or the clock would overflow.
      const absl::Duration left = std::min(deadline.Left(), absl::Hours(1));
      group_->changed[rank_].wait_for(
          lock, absl::ToChronoMicroseconds(left + absl::Microseconds(1)));
    }
  }

  std::vector<int> PendingPeers() const override {
    std::vector<int> peers;
    for (const ReceiveBuffer& receive : pending_) peers.push_back(receive.peer);
    std::sort(peers.begin(), peers.end());
    peers.erase(std::unique(peers.begin(), peers.end()), peers.end());
    return peers;
  }

 private:
  // Requires the mutex.
  absl::StatusOr<bool> TakeArrived() {
    std::vector<ReceiveBuffer> left;
    for (const ReceiveBuffer& receive : pending_) {
      auto& mailbox = group_->Mailbox(receive.peer, rank_);
      const auto message =
          std::find_if(mailbox.begin(), mailbox.end(),
                       [&](const auto& m) { return m.sequence == sequence_; });
      if (message == mailbox.end()) {
        left.push_back(receive);
        continue;
      }
      if (message->bytes.size() != receive.bytes) {
        return absl::InternalError(
            absl::StrCat("rank ", receive.peer, " sent ", message->bytes.size(),
                         " bytes where ", receive.bytes, " were expected"));
      }
      std::memcpy(receive.data, message->bytes.data(), receive.bytes);
      mailbox.erase(message);
    }
    pending_ = std::move(left);
    if (pending_.empty()) return true;
    if (!group_->abort_text.empty()) {
      return absl::AbortedError(group_->abort_text);
    }
    return false;
  }

  const std::shared_ptr<ThreadGroup> group_;  // shared by the group's ranks
  const int rank_;
  const uint64_t sequence_;
  std::vector<ReceiveBuffer> pending_;  // in order for each peer
};

absl::StatusOr<std::unique_ptr<PointToPointCommunicator::Transfer>>
ThreadCommunicator::Start(absl::Span<const SendBuffer> sends,
                          absl::Span<const ReceiveBuffer> receives,
                          uint64_t sequence) {
  for (const SendBuffer& send : sends) {
    const auto* const bytes = static_cast<const std::byte*>(send.data);
    ThreadGroup::Message message = {sequence, {bytes, bytes + send.bytes}};
    const std::lock_guard<std::mutex> lock(group_->mutex);
    group_->Mailbox(rank(), send.peer).push_back(std::move(message));
    group_->changed[send.peer].notify_all();
  }
  return std::make_unique<Receives>(group_, rank(), receives, sequence);
}

void ThreadCommunicator::SendAbort(const std::string& text) {
  const std::lock_guard<std::mutex> lock(group_->mutex);
  if (group_->abort_text.empty()) group_->abort_text = text;
  for (auto& changed : group_->changed) changed.notify_all();
}

absl::StatusOr<std::unique_ptr<HostCommunicator>> ThreadCommunicator::MakeGroup(
    const NewGroup* group, uint64_t sequence) {
  if (group == nullptr) return nullptr;
  const int new_size = static_cast<int>(group->ranks.size());
  std::vector<int> new_world_ranks;
  for (int r : group->ranks) new_world_ranks.push_back(world_ranks()[r]);
  const int new_rank = static_cast<int>(
      std::find(group->ranks.begin(), group->ranks.end(), rank()) -
      group->ranks.begin());
  std::shared_ptr<ThreadGroup> shared;
  {
    const std::lock_guard<std::mutex> lock(group_->mutex);
    const auto key = std::make_pair(sequence, group->color);
    auto& entry = group_->new_groups[key];
    if (entry.group == nullptr) {
      entry.group = std::make_shared<ThreadGroup>(new_size);
    }
    shared = entry.group;
    if (++entry.taken == new_size) group_->new_groups.erase(key);
  }
  return std::make_unique<ThreadCommunicator>(group->name, new_rank,
                                              std::move(new_world_ranks),
                                              options(), std::move(shared));
}

}  // namespace

std::vector<std::unique_ptr<HostCommunicator>> MakeThreadCommunicators(
    int size, const CommunicatorOptions& options) {
  std::vector<int> ranks(size);
  std::iota(ranks.begin(), ranks.end(), 0);
  const auto group = std::make_shared<ThreadGroup>(size);
  std::vector<std::unique_ptr<HostCommunicator>> communicators;
  for (int r = 0; r < size; ++r) {
    communicators.push_back(std::make_unique<ThreadCommunicator>(
        "world", r, ranks, options, group));
  }
  return communicators;
}

}  // namespace moe
