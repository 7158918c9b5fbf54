#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/core/device.h"
#include "kernels/core/device_backend.h"
#include "kernels/core/tensor.h"

namespace moe {

class CpuStream;  // kernels/core/cpu_stream.h

// A point in a stream's work.
class Event {
 public:
  virtual ~Event() = default;

  // Waits until all that was enqueued before it is done. Its error, if any
  // failed; the stream is then unusable.
  virtual absl::Status Wait() = 0;
};

// An ordered queue of work on one device. Every op takes one. Ops and copies
// may return before they are done; tensors that they use must live until then.
// Not thread-safe: one thread at a time.
class Stream {
 public:
  virtual ~Stream() = default;

  virtual Device device() const = 0;
  // Whose memory its ops work on.
  virtual DeviceBackend& backend() = 0;

  // Enqueues a copy. Both are contiguous, have as many bytes, and lie on this
  // device or in pinned memory of its backend. kInvalidArgument if not.
  virtual absl::Status Copy(const TensorView& from, const TensorView& to) = 0;

  // An event behind all that was enqueued so far.
  virtual absl::StatusOr<std::unique_ptr<Event>> Record() = 0;

  // Waits until all that was enqueued is done. Its error, if any failed; the
  // stream is then unusable.
  virtual absl::Status Synchronize() = 0;
};

}  // namespace moe
