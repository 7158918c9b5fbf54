#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"

namespace moe {

// The first failure of a job as seen by one rank, and its listeners. Ignores
// later failures. Does not communicate with other ranks. Thread-safe.
class FailureBroadcast {
 public:
  using Listener = std::function<void(const absl::Status& reason)>;

  class Subscription {
   public:
    virtual ~Subscription() = default;
  };

  // Calls `listener` once with the reason: from CallListeners, on a separate
  // thread; or at once, on the caller's thread, if there is a failure already.
  // The listener must not destroy the subscription. It neither runs nor is
  // called after the subscription is destroyed.
  [[nodiscard]] std::unique_ptr<Subscription> Subscribe(Listener listener);

  // False if there is a failure already.
  bool Record(const absl::Status& reason);

  // Call it once, after Record has returned true; it returns when all listeners
  // have returned. Listeners run in parallel: MPI takes seconds to abort groups
  // with dead ranks, and clients must be notified meanwhile.
  void CallListeners();

  // OK, or the failure.
  absl::Status status() const;

 private:
  struct Entry;
  class EntrySubscription;

  mutable std::mutex mutex_;
  absl::Status failure_;  // guarded by mutex_
  // Shared with the subscriptions. Guarded by mutex_.
  std::vector<std::shared_ptr<Entry>> entries_;
};

}  // namespace moe
