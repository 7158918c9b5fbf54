#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"

namespace moe {

// The first failure of a job, as one rank knows it, and who wants to hear of
// it. Later failures are ignored. Knows nothing of other ranks. Thread-safe.
class FailureBroadcast {
 public:
  using Listener = std::function<void(const absl::Status& reason)>;

  class Subscription {
   public:
    virtual ~Subscription() = default;
  };

  // Calls `listener` with the reason once: when CallListeners does, on a thread
  // of its own; at once, on this one, if there is a failure already. It must
  // not destroy the subscription. After the subscription's end it is not
  // called, nor running.
  [[nodiscard]] std::unique_ptr<Subscription> Subscribe(Listener listener);

  // False if there is a failure already.
  bool Record(const absl::Status& reason);

  // After Record has returned true, once: returns when all listeners have. None
  // waits for another: to give up groups whose ranks are dead takes MPI
  // seconds, while clients wait for a word.
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
