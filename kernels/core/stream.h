#pragma once

#include "absl/status/status.h"
#include "kernels/core/device.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// An ordered queue of work on one device. Every op takes one.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual Device device() const = 0;
  // Waits until all that was enqueued is done.
  virtual absl::Status Synchronize() = 0;
};

// The CPU's: work runs inline, on the caller's thread and the pool's, and is
// done when the op returns. Not thread-safe: one thread at a time.
class CpuStream : public Stream {
 public:
  // The pool is borrowed and must outlive the stream.
  explicit CpuStream(ThreadPool& threads) : threads_(threads) {}

  Device device() const override { return {DeviceType::kCpu, 0}; }
  absl::Status Synchronize() override { return absl::OkStatus(); }
  ThreadPool& threads() { return threads_; }

 private:
  ThreadPool& threads_;
};

}  // namespace moe
