#pragma once

#include "engine/loading/compute_device.h"
#include "kernels/core/device_backend.h"

namespace moe {

// The device on which a test of a whole model or engine computes: the CPU, or
// the guarded device (tests/fakes/guarded_device.h) where MOE_TEST_DEVICE is
// "guarded", as device_test.bzl has it for its second target. Every suite that
// loads a model takes its device from here. The guarded device is the calling
// thread's own: so ranks that are threads each have one.
ComputeDevice TestDevice();

inline DeviceBackend& TestBackend() { return *TestDevice().backend; }
inline StreamFactory TestStream() { return TestDevice().make_stream; }

}  // namespace moe
