#pragma once

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace moe {

// A communication in flight, so that its caller can compute meanwhile.
// Destroying it waits for the end. Thread-compatible, with its communicators.
class PendingOperation {
 public:
  virtual ~PendingOperation() = default;

  // Makes progress without blocking; true once it is done. Host
  // transports progress only inside calls: a long computation should poll now
  // and then.
  virtual absl::StatusOr<bool> Poll() = 0;

  // Blocks until it is done, no longer than the communicator's timeout (one for
  // each phase of an operation of several). Repeatable.
  virtual absl::Status Wait() = 0;
};

}  // namespace moe
