#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"

namespace moe {

// A fixed set of threads for data-parallel loops of a few microseconds and up.
// The calling thread is worker 0, so a pool of one thread starts none.
// Workers spin briefly between loops and then sleep, so an idle server costs no
// CPU. ParallelFor may be called by one thread at a time; it is not reentrant.
class ThreadPool {
 public:
  // num_threads >= 1. `pin` binds worker i to the i-th CPU that the process may
  // use (not the caller). kResourceExhausted, with the limits of the process,
  // if the system gives it fewer threads.
  static absl::StatusOr<std::unique_ptr<ThreadPool>> Create(int num_threads,
                                                            bool pin = false);
  // For tests and benchmarks: ends the process where Create fails.
  explicit ThreadPool(int num_threads, bool pin = false);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const;

  // Calls body(task, worker) once for each task in [0, num_tasks), on any
  // worker in [0, num_threads), and returns when all are done. Tasks are handed
  // out in ascending order as workers become free: which worker runs a task is
  // not determined, so a task's result must not depend on it.
  void ParallelFor(int64_t num_tasks,
                   absl::FunctionRef<void(int64_t task, int worker)> body);

 private:
  class Impl;
  explicit ThreadPool(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace moe
