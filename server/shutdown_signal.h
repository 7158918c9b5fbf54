#pragma once

#include <signal.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace moe {

// Waits for SIGTERM and SIGINT. The first one is reported; the second ends the
// process at once, with status 128 + signal. Make it before any other thread,
// since threads inherit the signals' being blocked. One per process.
class ShutdownSignal {
 public:
  ShutdownSignal();
  ~ShutdownSignal();
  ShutdownSignal(const ShutdownSignal&) = delete;
  ShutdownSignal& operator=(const ShutdownSignal&) = delete;

  // Returns the first signal's number once it has come.
  int Wait();

 private:
  void Run();

  sigset_t signals_;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::condition_variable received_;
  int signal_ = 0;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace moe
