#include "kernels/core/cpu_backend.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "kernels/core/available_memory.h"

namespace moe {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, a 512-bit vector
constexpr size_t kHugePage = size_t{2} << 20;

absl::Status NoMemory(size_t bytes) {
  return absl::ResourceExhaustedError(
      absl::StrCat("no memory for ", bytes, " bytes"));
}

// Only a hint: without huge pages all works, with more TLB misses.
void AdviseHugePages(void* memory, size_t size) {
  (void)madvise(memory, size, MADV_HUGEPAGE);
}

bool IsMapped(size_t bytes, MemoryKind kind) {
  return kind == MemoryKind::kUntouched && bytes >= kHugePage;
}

size_t MappedBytes(size_t bytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

// Null without memory.
void* MapUntouched(size_t bytes) {
  const size_t size = MappedBytes(bytes);
  // As much more as a whole number of huge pages may be shifted by; what is
  // left on both sides goes back.
  void* const mapped = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* const begin = static_cast<char*>(mapped);
  const size_t before =
      (kHugePage - reinterpret_cast<uintptr_t>(mapped) % kHugePage) % kHugePage;
  if (before > 0) (void)munmap(begin, before);
  if (before < kHugePage) {
    (void)munmap(begin + before + size, kHugePage - before);
  }
  AdviseHugePages(begin + before, size);
  return begin + before;
}

void* AllocateZeroed(size_t bytes) {
  const size_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment, bytes) != 0) return nullptr;
  if (alignment == kHugePage) AdviseHugePages(memory, bytes);
  std::memset(memory, 0, bytes);
  return memory;
}

}  // namespace

absl::StatusOr<DeviceMemory> CpuBackend::Allocate(size_t bytes,
                                                  MemoryKind kind) {
  void* const memory =
      IsMapped(bytes, kind) ? MapUntouched(bytes) : AllocateZeroed(bytes);
  if (memory == nullptr) return NoMemory(bytes);
  return DeviceMemory(this, memory, bytes, kind);
}

void CpuBackend::Free(void* data, size_t bytes, MemoryKind kind) {
  if (IsMapped(bytes, kind)) {
    (void)munmap(data, MappedBytes(bytes));
  } else {
    std::free(data);
  }
}

absl::StatusOr<int64_t> CpuBackend::AvailableBytes() const {
  return AvailableHostMemory();
}

CpuBackend& HostBackend() {
  static auto& backend = *new CpuBackend();
  return backend;
}

}  // namespace moe
