#include "tests/fakes/counting_doorbell.h"

namespace moe {

absl::Status CountingDoorbell::Ring() {
  ++rings_;
  return bell_->Ring();
}

absl::Status CountingDoorbell::Wait(absl::Duration timeout) {
  const absl::Status status = bell_->Wait(timeout);
  rings_ += status.ok() ? 1 : 0;
  return status;
}

}  // namespace moe
