#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "kernels/core/cpu_stream.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// A device like a GPU, made of host memory: its memory cannot be accessed
// except while its streams run ops, and streams run nothing before a caller
// waits for them.
//
// Useful for: showing that code which must run on any device never touches
// device memory (a crash), waits for what it reads (else it reads what was
// there before) and leaves pinned buffers alone while a copy uses them.
class GuardedBackend : public DeviceBackend {
 public:
  explicit GuardedBackend(int index = 1) : device_{DeviceType::kCpu, index} {}
  ~GuardedBackend() override;

  Device device() const override { return device_; }
  DType activation_dtype() const override { return DType::kF32; }
  absl::StatusOr<int64_t> AvailableBytes() const override;
  // Each block of device memory has pages of its own and ends where they end:
  // what is behind it cannot be accessed even by ops.
  absl::StatusOr<DeviceMemory> Allocate(size_t bytes, MemoryKind kind) override;

  // Lets this process access all device memory as long as one of these lives.
  class Access {
   public:
    explicit Access(GuardedBackend& backend);
    ~Access();

   private:
    GuardedBackend& backend_;
  };

 private:
  struct Block {
    void* pages;  // with one more behind the block that is never accessible
    size_t page_bytes;
  };

  void Free(void* data, size_t bytes, MemoryKind kind) override;
  void Protect(bool accessible) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Device device_;
  absl::Mutex mutex_;
  std::map<void*, Block> blocks_ ABSL_GUARDED_BY(mutex_);
  int accesses_ ABSL_GUARDED_BY(mutex_) = 0;
};

// Keeps all work in a queue. A caller that waits runs it on its own thread, in
// order. After an error nothing runs until Synchronize has returned it.
class GuardedStream : public CpuStream {
 public:
  // Both are borrowed.
  GuardedStream(ThreadPool& threads, GuardedBackend& backend)
      : CpuStream(threads, backend, /*runs_inline=*/false), backend_(backend) {}

  absl::Status Copy(const TensorView& from, const TensorView& to) override;
  absl::StatusOr<std::unique_ptr<Event>> Record() override;
  absl::Status Synchronize() override;

 private:
  class QueuedEvent;

  absl::Status Defer(Work work) override;
  // Runs what was enqueued before entry `until`.
  absl::Status Drain(int64_t until);

  GuardedBackend& backend_;
  std::deque<Work> queue_;
  int64_t num_enqueued_ = 0;
  int64_t num_run_ = 0;
  absl::Status status_;  // the first error
};

}  // namespace moe
