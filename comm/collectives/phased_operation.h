#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "comm/pending_operation.h"

namespace moe {

// A chain of exchanges, each begun when the one before it is done, and work in
// between. Thread-compatible.
class PhasedOperation : public PendingOperation {
 public:
  // Begins an exchange, or does local work and returns nullptr. What it
  // captures lives as long as the operation.
  using Phase =
      std::function<absl::StatusOr<std::unique_ptr<PendingOperation>>()>;

  // Runs phases up to the first that has something to wait for.
  static absl::StatusOr<std::unique_ptr<PendingOperation>> Begin(
      std::deque<Phase> phases);

  ~PhasedOperation() override { Wait().IgnoreError(); }

  absl::StatusOr<bool> Poll() override;
  absl::Status Wait() override;

 private:
  PhasedOperation() = default;
  // Begins phases until one waits or none is left.
  absl::Status Advance();

  std::deque<Phase> phases_;  // done ones too: they own buffers
  size_t next_ = 0;
  std::unique_ptr<PendingOperation> current_;  // null: done or failed
  absl::Status status_;
};

}  // namespace moe
