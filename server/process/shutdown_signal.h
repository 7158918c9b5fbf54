#pragma once

#include <signal.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace moe {

// Receives SIGTERM, SIGINT, SIGUSR1 and, unless it was ignored at the start
// (nohup), SIGHUP. (mpirun forwards SIGUSR1 at once and does not kill the ranks
// after it.) Once armed, Wait reports the first signal,
// and the second ends the process at once with status 128 + signal. Before
// that, when there is nothing to drain, the first signal ends it. Construct it
// before any other thread starts: threads inherit the blocked signals. One per
// process. It also ignores SIGPIPE, since the reader of the log may close its
// end.
class ShutdownSignal {
 public:
  ShutdownSignal();
  ~ShutdownSignal();
  ShutdownSignal(const ShutdownSignal&) = delete;
  ShutdownSignal& operator=(const ShutdownSignal&) = delete;

  void Arm() { armed_ = true; }
  // Ignores signals from now on: rank 0 or mpirun ends this process.
  void Ignore() { ignored_ = true; }

  // Waits for the first signal and returns its number, or 0 after Wake. Call
  // Arm before.
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
  bool woken_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace moe
