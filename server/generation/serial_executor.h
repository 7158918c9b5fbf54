#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace moe {

// Runs tasks one after another on a thread of its own, so that neither the
// engine's thread nor a front end's has to. Thread-safe.
class SerialExecutor {
 public:
  SerialExecutor();
  // Runs all scheduled tasks first.
  ~SerialExecutor();
  SerialExecutor(const SerialExecutor&) = delete;
  SerialExecutor& operator=(const SerialExecutor&) = delete;

  // Does not wait. Tasks run in the order of the calls.
  void Schedule(std::function<void()> task);

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable scheduled_;
  std::deque<std::function<void()>> tasks_;  // guarded by mutex_
  bool stopping_ = false;                    // guarded by mutex_
  std::thread thread_;
};

}  // namespace moe
