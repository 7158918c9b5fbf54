#include "server/process/shutdown_signal.h"

#include <pthread.h>
#include <unistd.h>

namespace moe {

ShutdownSignal::ShutdownSignal() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGUSR1);
  struct sigaction hangup = {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaddset(&signals_, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
  signal(SIGPIPE, SIG_IGN);
  thread_ = std::thread([this] { Run(); });
}

ShutdownSignal::~ShutdownSignal() {
  stopping_ = true;
  pthread_kill(thread_.native_handle(), SIGTERM);  // wakes sigwait
  thread_.join();
}

int ShutdownSignal::Wait() {
  std::unique_lock lock(mutex_);
  received_.wait(lock, [this] { return signal_ != 0 || woken_; });
  return woken_ ? 0 : signal_;
}

void ShutdownSignal::Wake() {
  std::lock_guard lock(mutex_);
  woken_ = true;
  received_.notify_all();
}

void ShutdownSignal::Run() {
  while (true) {
    int signal = 0;
    sigwait(&signals_, &signal);
    if (stopping_) return;
    if (ignored_) continue;
    std::lock_guard lock(mutex_);
    // Skip destructors: one of them may be what hangs.
    if (!armed_ || signal_ != 0) _exit(128 + signal);
    signal_ = signal;
    received_.notify_all();
  }
}

}  // namespace moe
