#include "tests/fakes/guarded_device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/core/cpu_backend.h"
#include "kernels/core/status_macros.h"

namespace moe {

GuardedBackend::~GuardedBackend() {
  if (!blocks_.empty()) std::abort();  // a tensor outlives its backend
}

absl::StatusOr<DeviceMemory> GuardedBackend::Allocate(size_t bytes,
                                                      MemoryKind kind) {
  if (kind == MemoryKind::kPinned) {
    ASSIGN_OR_RETURN(DeviceMemory memory, HostBackend().Allocate(bytes, kind));
    return memory;
  }
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t page_bytes = (bytes + page - 1) / page * page;
  void* const pages = mmap(nullptr, page_bytes + page, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("no memory for ", bytes, " bytes"));
  }
  void* const data = static_cast<char*>(pages) + (page_bytes - bytes);
  const absl::MutexLock lock(&mutex_);
  if (accesses_ > 0) {
    (void)mprotect(pages, page_bytes, PROT_READ | PROT_WRITE);
  }
  blocks_[data] = {pages, page_bytes};
  return DeviceMemory(this, data, bytes, kind);
}

absl::StatusOr<int64_t> GuardedBackend::AvailableBytes() const {
  return HostBackend().AvailableBytes();
}

void GuardedBackend::Free(void* data, size_t, MemoryKind) {
  const absl::MutexLock lock(&mutex_);
  const auto found = blocks_.find(data);
  if (found == blocks_.end()) std::abort();
  (void)munmap(
      found->second.pages,
      found->second.page_bytes + static_cast<size_t>(sysconf(_SC_PAGESIZE)));
  blocks_.erase(found);
}

void GuardedBackend::Protect(bool accessible) {
  for (const auto& [data, block] : blocks_) {
    if (mprotect(block.pages, block.page_bytes,
                 accessible ? PROT_READ | PROT_WRITE : PROT_NONE) != 0) {
      std::abort();
    }
  }
}

GuardedBackend::Access::Access(GuardedBackend& backend) : backend_(backend) {
  const absl::MutexLock lock(&backend_.mutex_);
  if (backend_.accesses_++ == 0) backend_.Protect(true);
}

GuardedBackend::Access::~Access() {
  const absl::MutexLock lock(&backend_.mutex_);
  if (--backend_.accesses_ == 0) backend_.Protect(false);
}

class GuardedStream::QueuedEvent : public Event {
 public:
  QueuedEvent(GuardedStream& stream, int64_t until)
      : stream_(stream), until_(until) {}
  absl::Status Wait() override { return stream_.Drain(until_); }

 private:
  GuardedStream& stream_;
  const int64_t until_;
};

absl::Status GuardedStream::Defer(Work work) {
  queue_.push_back(std::move(work));
  ++num_enqueued_;
  return absl::OkStatus();
}

absl::Status GuardedStream::Copy(const TensorView& from, const TensorView& to) {
  RETURN_IF_ERROR(CheckCopy(from, to));
  return Defer([from, to] {
    const size_t bytes =
        static_cast<size_t>(from.num_elements()) * SizeOf(from.dtype);
    if (bytes > 0) std::memmove(to.data, from.data, bytes);
    return absl::OkStatus();
  });
}

absl::StatusOr<std::unique_ptr<Event>> GuardedStream::Record() {
  return std::make_unique<QueuedEvent>(*this, num_enqueued_);
}

absl::Status GuardedStream::Synchronize() {
  (void)Drain(num_enqueued_);
  return std::exchange(status_, absl::OkStatus());
}

absl::Status GuardedStream::Drain(int64_t until) {
  if (num_run_ >= until) return status_;
  const GuardedBackend::Access access(backend_);
  for (; num_run_ < until; ++num_run_) {
    Work work = std::move(queue_.front());
    queue_.pop_front();
    if (status_.ok()) status_ = work();
  }
  return status_;
}

}  // namespace moe
