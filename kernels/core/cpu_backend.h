#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "kernels/core/device.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/dtype.h"

namespace moe {

// The host's memory: all kinds are memory that host code may touch. Memory of
// 2 MiB and more is aligned to that and on huge pages where the system has
// them. kUntouched memory of that size costs no time, whatever its size: the
// system finds and zeroes each page when it is first touched.
class CpuBackend : public DeviceBackend {
 public:
  Device device() const override { return {DeviceType::kCpu, 0}; }
  DType activation_dtype() const override { return DType::kF32; }
  // What the kernel calls available, or what the process's control group leaves
  // if that is less.
  absl::StatusOr<int64_t> AvailableBytes() const override;
  absl::StatusOr<DeviceMemory> Allocate(size_t bytes, MemoryKind kind) override;

 private:
  void Free(void* data, size_t bytes, MemoryKind kind) override;
};

// The one of this process; never destroyed.
CpuBackend& HostBackend();

}  // namespace moe
