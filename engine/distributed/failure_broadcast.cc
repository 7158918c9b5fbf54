#include "engine/distributed/failure_broadcast.h"

#include <system_error>
#include <thread>
#include <utility>

namespace moe {

struct FailureBroadcast::Entry {
  std::mutex mutex;  // held while it is called
  bool active = true;
  Listener listener;

  void Call(const absl::Status& reason) {
    std::lock_guard lock(mutex);
    if (std::exchange(active, false)) listener(reason);
  }
};

class FailureBroadcast::EntrySubscription : public Subscription {
 public:
  explicit EntrySubscription(std::shared_ptr<Entry> entry)
      : entry_(std::move(entry)) {}
  ~EntrySubscription() override {
    std::lock_guard lock(entry_->mutex);
    entry_->active = false;
  }

 private:
  const std::shared_ptr<Entry> entry_;  // shared with the broadcast
};

std::unique_ptr<FailureBroadcast::Subscription> FailureBroadcast::Subscribe(
    Listener listener) {
  const auto entry = std::make_shared<Entry>();
  entry->listener = std::move(listener);
  absl::Status failure;
  {
    std::lock_guard lock(mutex_);
    failure = failure_;
    if (failure.ok()) entries_.push_back(entry);
  }
  if (!failure.ok()) entry->Call(failure);
  return std::make_unique<EntrySubscription>(entry);
}

bool FailureBroadcast::Record(const absl::Status& reason) {
  std::lock_guard lock(mutex_);
  if (!failure_.ok()) return false;
  failure_ = reason;
  return true;
}

void FailureBroadcast::CallListeners() {
  std::vector<std::shared_ptr<Entry>> entries;
  absl::Status failure;
  {
    std::lock_guard lock(mutex_);
    entries.swap(entries_);
    failure = failure_;
  }
  std::vector<std::thread> threads;
  for (const auto& entry : entries) {
    try {
      threads.emplace_back([&entry, &failure] { entry->Call(failure); });
    } catch (const std::system_error&) {  // out of threads: call it here
      entry->Call(failure);
    }
  }
  for (std::thread& thread : threads) thread.join();
}

absl::Status FailureBroadcast::status() const {
  std::lock_guard lock(mutex_);
  return failure_;
}

}  // namespace moe
