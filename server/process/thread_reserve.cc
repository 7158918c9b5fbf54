#include "server/process/thread_reserve.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/core/control_groups.h"

namespace moe::thread_reserve {
namespace {

using CreateThread = int (*)(pthread_t*, const pthread_attr_t*,
                             void* (*)(void*), void*);
using FailureHandler = std::function<void(const absl::Status&)>;

// A thread that ends gives its place free a little later.
constexpr int kTries = 200;
constexpr long kPauseNanoseconds = 1'000'000;

// As for the log's thread itself: without the log.
void WriteAndExit(const absl::Status& reason) {
  const std::string line = absl::StrCat(
      "level=error event=failed status=RESOURCE_EXHAUSTED message=\"",
      reason.message(), "\"\n");
  if (write(STDERR_FILENO, line.data(), line.size()) < 0) _exit(1);
  _exit(1);
}

// Never destroyed: threads are started and end at any time.
struct State {
  State() { sem_init(&release, 0, 0); }

  std::mutex mutex;
  FailureHandler handler = WriteAndExit;  // guarded by mutex
  std::atomic<int> idle = 0;              // threads of the reserve
  std::atomic<int64_t> num_lost = 0;
  sem_t release;  // each post ends one of them
};
State& GetState() {
  static State& state = *new State();
  return state;
}

CreateThread RealCreate() {
  static const auto create =
      reinterpret_cast<CreateThread>(dlsym(RTLD_NEXT, "pthread_create"));
  return create;
}

void* Idle(void*) {
  while (sem_wait(&GetState().release) != 0) {
  }
  return nullptr;
}

// False if the reserve is empty.
bool ReleaseOne() {
  State& state = GetState();
  int idle = state.idle;
  do {
    if (idle == 0) return false;
  } while (!state.idle.compare_exchange_weak(idle, idle - 1));
  sem_post(&state.release);
  return true;
}

absl::Status DescribeLimit(int error) {
  const ControlGroupLimits limits = ReadControlGroupLimits();
  rlimit user = {};
  getrlimit(RLIMIT_NPROC, &user);
  std::string limit;
  if (!limits.tasks_file.empty() && limits.tasks_left <= 1) {
    limit = absl::StrCat(limits.tasks_file, " is ", limits.task_limit);
  } else if (user.rlim_cur != RLIM_INFINITY) {
    limit = absl::StrCat("the user's limit of tasks (ulimit -u) is ",
                         user.rlim_cur);
  } else {
    limit = "the system allows no more";
  }
  return absl::ResourceExhaustedError(
      absl::StrCat("a thread cannot be started (", strerror(error),
                   "): ", limit, "; raise it, or lower engine.threads"));
}

}  // namespace

void SetFailureHandler(FailureHandler handler) {
  State& state = GetState();
  const std::lock_guard<std::mutex> lock(state.mutex);
  state.handler = std::move(handler);
}

int Fill(int threads) {
  State& state = GetState();
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN + 16384);
  while (state.idle < threads && ReadControlGroupLimits().tasks_left > 1) {
    pthread_t thread;
    if (RealCreate()(&thread, &attributes, Idle, nullptr) != 0) break;
    ++state.idle;
  }
  pthread_attr_destroy(&attributes);
  return state.idle;
}

int64_t num_lost() { return GetState().num_lost; }

// pthread_create for all of the program.
int Create(pthread_t* thread, const pthread_attr_t* attributes,
           void* (*run)(void*), void* argument) {
  int error = RealCreate()(thread, attributes, run, argument);
  while (error == EAGAIN && ReleaseOne()) {
    for (int i = 0; error == EAGAIN && i < kTries; ++i) {
      const timespec pause = {0, kPauseNanoseconds};
      nanosleep(&pause, nullptr);
      error = RealCreate()(thread, attributes, run, argument);
    }
  }
  if (error != EAGAIN) return error;
  State& state = GetState();
  ++state.num_lost;
  FailureHandler handler;
  {
    const std::lock_guard<std::mutex> lock(state.mutex);
    handler = state.handler;
  }
  if (handler) handler(DescribeLimit(error));
  return error;
}

}  // namespace moe::thread_reserve

extern "C" int pthread_create(pthread_t* thread,
                              const pthread_attr_t* attributes,
                              void* (*run)(void*), void* argument) {
  return moe::thread_reserve::Create(thread, attributes, run, argument);
}
