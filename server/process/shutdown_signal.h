#pragma once

#include <signal.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace moe {

// Waits for SIGTERM, SIGINT and SIGUSR1 (which, of the three, mpirun passes on
// at once and leaves its processes alone for). Once armed, the first one is
// reported and the second ends the process at once, with status 128 + signal;
// before that, while there is nothing to drain, the first one does. Make it
// before any other thread, since threads inherit the signals' being blocked.
// One per process. SIGPIPE is ignored from then on: who reads the log may go
// away.
class ShutdownSignal {
 public:
  ShutdownSignal();
  ~ShutdownSignal();
  ShutdownSignal(const ShutdownSignal&) = delete;
  ShutdownSignal& operator=(const ShutdownSignal&) = delete;

  void Arm() { armed_ = true; }
  // Signals do nothing from now on: for a process that others end.
  void Ignore() { ignored_ = true; }

  // Returns the first signal's number once it has come, or 0 after Wake. Only
  // after Arm.
  int Wait();
  void Wake();

 private:
  void Run();

  sigset_t signals_;
  std::atomic<bool> armed_ = false;
  std::atomic<bool> ignored_ = false;
  std::atomic<bool> stopping_ = false;
  std::mutex mutex_;
  std::condition_variable received_;
  int signal_ = 0;      // guarded by mutex_
  bool woken_ = false;  // the same
  std::thread thread_;
};

}  // namespace moe
