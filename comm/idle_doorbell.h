#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "comm/deadline.h"

namespace moe {

// Wakes the ranks that wait for work between steps. A communicator polls, which
// is right within a step and keeps a core busy in an idle server; ranks sleep
// here instead. Rank 0 rings, the others wait; one Wait returns for each Ring,
// whichever comes first. Thread-compatible.
class IdleDoorbell {
 public:
  virtual ~IdleDoorbell() = default;

  // Rank 0 only. Wakes all other ranks; does not wait for them.
  virtual absl::Status Ring() = 0;

  // Other ranks only. OK after a ring, kDeadlineExceeded, naming the rank,
  // after `timeout` without one: the caller waits again, or stops.
  virtual absl::Status Wait(absl::Duration timeout) = 0;
};

// For ranks that are threads of this process. Element r is for rank r.
std::vector<std::unique_ptr<IdleDoorbell>> MakeThreadDoorbells(int size);

}  // namespace moe
