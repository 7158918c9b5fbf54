#pragma once

#include <memory>
#include <utility>

#include "comm/idle_doorbell.h"

namespace moe {

// Counts rings and forwards them to a real doorbell: useful for testing when
// ranks ring. As thread-safe as the real one, except rings().
class CountingDoorbell : public IdleDoorbell {
 public:
  explicit CountingDoorbell(std::unique_ptr<IdleDoorbell> bell)
      : bell_(std::move(bell)) {}

  absl::Status Ring() override;
  absl::Status Wait(absl::Duration timeout) override;

  // Rings of this rank, and waits that a ring has ended.
  int rings() const { return rings_; }

 private:
  const std::unique_ptr<IdleDoorbell> bell_;
  int rings_ = 0;
};

}  // namespace moe
