#pragma once

#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/stream.h"
#include "kernels/core/thread_pool.h"

namespace moe {

// Makes a stream of a device. `threads` are the rank's own, borrowed, and
// outlive the stream.
using StreamFactory =
    std::function<absl::StatusOr<std::unique_ptr<Stream>>(ThreadPool& threads)>;

// Where a rank computes.
struct ComputeDevice {
  DeviceBackend* backend = nullptr;  // borrowed; outlives the engine
  StreamFactory make_stream;         // of this backend
};

// The CPU: work runs on the caller's thread and the rank's.
ComputeDevice CpuDevice();

}  // namespace moe
