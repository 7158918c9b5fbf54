#include "server/generation/serial_executor.h"

#include <utility>

namespace moe {

SerialExecutor::SerialExecutor() : thread_([this] { Run(); }) {}

SerialExecutor::~SerialExecutor() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  scheduled_.notify_one();
  thread_.join();
}

void SerialExecutor::Schedule(std::function<void()> task) {
  bool was_empty;
  {
    std::lock_guard lock(mutex_);
    was_empty = tasks_.empty();
    tasks_.push_back(std::move(task));
  }
  // If the queue was not empty, the thread is awake or already notified.
  if (was_empty) scheduled_.notify_one();
}

void SerialExecutor::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    scheduled_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::deque<std::function<void()>> tasks = std::exchange(tasks_, {});
    lock.unlock();
    for (std::function<void()>& task : tasks) task();
    tasks.clear();
    lock.lock();
  }
}

}  // namespace moe
