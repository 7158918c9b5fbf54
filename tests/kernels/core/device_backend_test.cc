#include "kernels/core/device_backend.h"

#include <cstdint>
#include <utility>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "kernels/core/cpu_backend.h"
#include "kernels/core/tensor.h"

namespace moe {
namespace {

// Gives out nothing but addresses, and counts them.
class CountingBackend : public DeviceBackend {
 public:
  Device device() const override { return {DeviceType::kCuda, 3}; }
  DType activation_dtype() const override { return DType::kBf16; }
  absl::StatusOr<int64_t> AvailableBytes() const override {
    return 1000 - static_cast<int64_t>(live_bytes);
  }
  absl::StatusOr<DeviceMemory> Allocate(size_t bytes,
                                        MemoryKind kind) override {
    if (bytes > 1000) return absl::ResourceExhaustedError("full");
    live_bytes += bytes;
    return DeviceMemory(this, reinterpret_cast<void*>(uintptr_t{4096}), bytes,
                        kind);
  }

  size_t live_bytes = 0;

 private:
  void Free(void*, size_t bytes, MemoryKind) override { live_bytes -= bytes; }
};

TEST(DeviceMemoryTest, GoesBackToItsBackendOnce) {
  CountingBackend backend;
  {
    DeviceMemory first = *backend.Allocate(100, MemoryKind::kDevice);
    DeviceMemory second = *backend.Allocate(10, MemoryKind::kPinned);
    EXPECT_EQ(backend.live_bytes, 110u);
    first = std::move(second);
    EXPECT_EQ(backend.live_bytes, 10u);
    EXPECT_EQ(first.kind(), MemoryKind::kPinned);
    const DeviceMemory third = std::move(first);
    EXPECT_EQ(third.bytes(), 10u);
    EXPECT_EQ(backend.live_bytes, 10u);
  }
  EXPECT_EQ(backend.live_bytes, 0u);
}

TEST(DeviceMemoryTest, TensorsLieOnTheDeviceOfTheirBackend) {
  CountingBackend backend;
  {
    const Tensor tensor = *Tensor::Allocate(backend, DType::kF32, {3, 5});
    EXPECT_EQ(tensor.view().device, backend.device());
    EXPECT_EQ(backend.live_bytes, 64u);
    // What a device copies from and to by itself is the host's.
    const Tensor pinned = *Tensor::AllocatePinned(backend, DType::kF32, {3});
    EXPECT_EQ(pinned.view().device, Device{});
  }
  EXPECT_EQ(backend.live_bytes, 0u);
  EXPECT_EQ(Tensor::Allocate(backend, DType::kF32, {1000}).status().message(),
            "Tensor: no memory for f32 [1000], 4032 bytes");
}

TEST(CpuBackendTest, AllKindsAreZeroedHostMemory) {
  for (MemoryKind kind :
       {MemoryKind::kDevice, MemoryKind::kUntouched, MemoryKind::kPinned}) {
    const DeviceMemory memory = *HostBackend().Allocate(4096, kind);
    const auto* const bytes = static_cast<const uint8_t*>(memory.data());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(bytes) % 64, 0u);
    for (int i = 0; i < 4096; ++i) ASSERT_EQ(bytes[i], 0);
  }
  EXPECT_EQ(HostBackend().device(), Device{});
}

}  // namespace
}  // namespace moe
