#include "kernels/core/thread_pool.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include <atomic>
#include <cassert>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace moe {
namespace {

// Between two loops of one forward pass lie a few microseconds; a worker that
// waits longer than this sleeps. The second half of a wait yields the CPU, so
// that with more runnable threads than CPUs a spinner does not hold up a
// worker.
constexpr std::chrono::microseconds kSpin{25};
constexpr std::chrono::microseconds kSpinAndYield{50};
// How many pauses (up to 50 ns each) pass between two looks at the clock.
constexpr int kPausesPerClockRead = 8;

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Polls `ready` for a bounded time; false if it never held.
template <typename Ready>
bool SpinUntil(Ready ready) {
  if (ready()) return true;
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    for (int i = 0; i < kPausesPerClockRead; ++i) {
      Pause();
      if (ready()) return true;
    }
    const auto waited = std::chrono::steady_clock::now() - start;
    if (waited > kSpinAndYield) return false;
    if (waited > kSpin) sched_yield();
  }
}

// Binds the calling thread to the `index`-th CPU that the process may use
// (modulo their number). A hint: where it fails, the scheduler places it.
void BindToCpu(int index) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return;
  const int num_cpus = CPU_COUNT(&allowed);
  if (num_cpus == 0) return;
  int skip = index % num_cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed) || skip-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    (void)pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
    return;
  }
}

std::string DescribeLimit(const char* name, __rlimit_resource_t resource,
                          rlim_t unit) {
  rlimit limit{};
  if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return absl::StrCat(name, " unlimited");
  }
  return absl::StrCat(name, " ", limit.rlim_cur / unit,
                      unit == 1024 ? " KiB" : "");
}

// What a process that gets no more threads may have run into.
std::string DescribeThreadLimits() {
  return absl::StrCat(DescribeLimit("ulimit -u:", RLIMIT_NPROC, 1), ", ",
                      DescribeLimit("-v:", RLIMIT_AS, 1024), ", ",
                      DescribeLimit("-s, of each thread:", RLIMIT_STACK, 1024),
                      "; or pids.max of its control group");
}

}  // namespace

// One loop at a time. Its tasks are claimed by counting `remaining_` down; who
// claimed one may read body_ and num_tasks_, because the loop, and with it
// these, ends only when all claimed tasks are counted in finished_. A worker
// that comes late finds nothing to claim and delays nobody.
class ThreadPool::Impl {
 public:
  // Once. After an error some threads run, for the destructor to end.
  absl::Status Start(int num_threads, bool pin) {
    assert(num_threads >= 1);
    threads_.reserve(num_threads - 1);
    for (int worker = 1; worker < num_threads; ++worker) {
      try {
        threads_.emplace_back([this, worker, pin] {
          if (pin) BindToCpu(worker);
          Work(worker);
        });
      } catch (const std::exception& error) {
        return absl::ResourceExhaustedError(absl::StrCat(
            "the system refuses thread ", worker + 1, " of ", num_threads, ": ",
            error.what(), " (", DescribeThreadLimits(), ")"));
      }
    }
    return absl::OkStatus();
  }

  ~Impl() {
    stopping_.store(true, std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  int num_threads() const { return static_cast<int>(threads_.size()) + 1; }

  void ParallelFor(int64_t num_tasks,
                   absl::FunctionRef<void(int64_t, int)> body) {
    if (num_tasks <= 0) return;
    if (num_tasks == 1 || threads_.empty()) {
      for (int64_t task = 0; task < num_tasks; ++task) body(task, 0);
      return;
    }
    body_ = &body;
    num_tasks_ = num_tasks;
    finished_.store(0, std::memory_order_relaxed);
    remaining_.store(num_tasks, std::memory_order_release);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
    const int64_t others = num_tasks - RunTasks(0);
    const auto done = [&] {
      return finished_.load(std::memory_order_acquire) == others;
    };
    if (SpinUntil(done)) return;
    int64_t finished;
    while ((finished = finished_.load(std::memory_order_acquire)) != others) {
      finished_.wait(finished, std::memory_order_acquire);
    }
  }

 private:
  // Runs tasks until none is left; returns how many.
  int64_t RunTasks(int worker) {
    int64_t num_run = 0;
    int64_t remaining = remaining_.load(std::memory_order_relaxed);
    while (remaining > 0) {
      if (!remaining_.compare_exchange_weak(remaining, remaining - 1,
                                            std::memory_order_acquire,
                                            std::memory_order_relaxed)) {
        continue;
      }
      (*body_)(num_tasks_ - remaining, worker);
      ++num_run;
      remaining = remaining_.load(std::memory_order_relaxed);
    }
    return num_run;
  }

  void Work(int worker) {
    uint32_t seen = 0;
    while (true) {
      const auto called = [&] {
        return epoch_.load(std::memory_order_acquire) != seen;
      };
      if (!SpinUntil(called)) epoch_.wait(seen, std::memory_order_acquire);
      seen = epoch_.load(std::memory_order_acquire);
      if (stopping_.load(std::memory_order_relaxed)) return;
      if (const int64_t num_run = RunTasks(worker); num_run > 0) {
        finished_.fetch_add(num_run, std::memory_order_release);
        finished_.notify_one();
      }
    }
  }

  // Written by the caller, before remaining_.
  absl::FunctionRef<void(int64_t, int)>* body_ = nullptr;
  int64_t num_tasks_ = 0;
  // On lines of their own: all workers write the first two, all poll the third.
  alignas(64) std::atomic<int64_t> remaining_{0};
  // Tasks that workers other than the caller have done.
  alignas(64) std::atomic<int64_t> finished_{0};
  // Counts loops; workers sleep on it.
  alignas(64) std::atomic<uint32_t> epoch_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

absl::StatusOr<std::unique_ptr<ThreadPool>> ThreadPool::Create(int num_threads,
                                                               bool pin) {
  auto impl = std::make_unique<Impl>();
  if (absl::Status started = impl->Start(num_threads, pin); !started.ok()) {
    return started;
  }
  return absl::WrapUnique(new ThreadPool(std::move(impl)));
}

ThreadPool::ThreadPool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ThreadPool::ThreadPool(int num_threads, bool pin)
    : impl_(std::make_unique<Impl>()) {
  const absl::Status started = impl_->Start(num_threads, pin);
  if (started.ok()) return;
  std::fprintf(stderr, "ThreadPool: %s\n",
               std::string(started.message()).c_str());
  std::_Exit(1);
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::num_threads() const { return impl_->num_threads(); }

void ThreadPool::ParallelFor(
    int64_t num_tasks, absl::FunctionRef<void(int64_t task, int worker)> body) {
  impl_->ParallelFor(num_tasks, body);
}

}  // namespace moe
