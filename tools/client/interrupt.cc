#include "tools/client/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <thread>
#include <utility>

namespace moe::client {
namespace {

sigset_t Signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

}  // namespace

void OnInterrupt(std::function<void()> callback) {
  const sigset_t signals = Signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  // Detached: the thread waits until the process ends.
  std::thread([signals, callback = std::move(callback)] {
    int number = 0;
    sigwait(&signals, &number);
    callback();
    sigwait(&signals, &number);
    _exit(128 + number);
  }).detach();
}

}  // namespace moe::client
