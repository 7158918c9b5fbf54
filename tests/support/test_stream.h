#pragma once

#include "engine/loading/make_stream.h"
#include "kernels/core/device_backend.h"

namespace moe {

// The device on which a test of a whole model or engine computes: the CPU, or
// the guarded device (tests/fakes/guarded_device.h) where MOE_TEST_DEVICE is
// "guarded", as device_test.bzl has it for its second target. Every suite that
// loads a model takes its stream from here.
StreamFactory TestStream();

// The backend of this thread's streams: each rank that is a thread has a device
// of its own.
DeviceBackend& TestBackend();

}  // namespace moe
