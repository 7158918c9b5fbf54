#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "kernels/core/device.h"
#include "kernels/core/dtype.h"

namespace moe {

enum class MemoryKind : uint8_t {
  kDevice,     // zeroed
  kUntouched,  // zeroed; where the device can, only when it is first touched
  kPinned,     // host memory that the device copies from and to by itself
};

class DeviceBackend;

// Memory of one backend, which takes it back when this is destroyed. Move-only.
// The backend must outlive it.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(DeviceBackend* backend, void* data, size_t bytes,
               MemoryKind kind)
      : backend_(backend), data_(data), bytes_(bytes), kind_(kind) {}
  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  MemoryKind kind() const { return kind_; }

 private:
  DeviceBackend* backend_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
  MemoryKind kind_ = MemoryKind::kDevice;
};

// One device: gives out its memory. What runs on it runs on a Stream.
//
// Host code reads and writes kPinned memory only, and that only while no copy
// of a stream uses it. It may touch the memory of device cpu:0 too, which is
// the host's own (CpuBackend); code that must run on any device does not.
//
// Thread-safe.
class DeviceBackend {
 public:
  virtual ~DeviceBackend() = default;

  virtual Device device() const = 0;

  // Of what ops hand to each other: hidden states, the experts' results.
  virtual DType activation_dtype() const = 0;

  // Bytes that this process can still allocate. kInternal if that is unknown.
  virtual absl::StatusOr<int64_t> AvailableBytes() const = 0;

  // `bytes` >= 1, aligned to 64 bytes. kResourceExhausted without memory.
  virtual absl::StatusOr<DeviceMemory> Allocate(size_t bytes,
                                                MemoryKind kind) = 0;

 private:
  friend class DeviceMemory;
  virtual void Free(void* data, size_t bytes, MemoryKind kind) = 0;
};

}  // namespace moe
