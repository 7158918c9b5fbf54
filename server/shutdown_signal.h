#pragma once

#include <signal.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace moe {

// Waits for SIGTERM and SIGINT. Once armed, the first one is reported and the
// second ends the process at once, with status 128 + signal; before that, while
// there is nothing to drain, the first one does. Make it before any other
// thread, since threads inherit the signals' being blocked. One per process.
// SIGPIPE is ignored from then on: who reads the log may go away.
class ShutdownSignal {
 public:
  ShutdownSignal();
  ~ShutdownSignal();
  ShutdownSignal(const ShutdownSignal&) = delete;
  ShutdownSignal& operator=(const ShutdownSignal&) = delete;

  void Arm() { armed_ = true; }

  // Returns the first signal's number once it has come. Only after Arm.
  int Wait();

 private:
  void Run();

  sigset_t signals_;
  std::atomic<bool> armed_ = false;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::condition_variable received_;
  int signal_ = 0;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace moe
