#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace moe {

// Runs tasks one after another, away from the engine's thread, turning tokens
// into text and starting writes, or away from gRPC's. Thread-safe.
class SerialExecutor {
 public:
  SerialExecutor();
  // Runs what has been scheduled, then ends.
  ~SerialExecutor();
  SerialExecutor(const SerialExecutor&) = delete;
  SerialExecutor& operator=(const SerialExecutor&) = delete;

  // Returns at once. Tasks run in order.
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
