#include "comm/collectives/phased_operation.h"

#include <utility>

#include "kernels/core/status_macros.h"

namespace moe {

absl::StatusOr<std::unique_ptr<PendingOperation>> PhasedOperation::Begin(
    std::deque<Phase> phases) {
  auto operation = std::unique_ptr<PhasedOperation>(new PhasedOperation);
  operation->phases_ = std::move(phases);
  RETURN_IF_ERROR(operation->Advance());
  return operation;
}

absl::Status PhasedOperation::Advance() {
  current_ = nullptr;
  while (status_.ok() && current_ == nullptr && next_ < phases_.size()) {
    absl::StatusOr<std::unique_ptr<PendingOperation>> begun =
        phases_[next_++]();
    status_ = begun.status();
    if (begun.ok()) current_ = *std::move(begun);
  }
  return status_;
}

absl::StatusOr<bool> PhasedOperation::Poll() {
  RETURN_IF_ERROR(status_);
  while (current_ != nullptr) {
    absl::StatusOr<bool> done = current_->Poll();
    if (!done.ok()) {
      status_ = done.status();
      current_ = nullptr;
      return status_;
    }
    if (!*done) return false;
    RETURN_IF_ERROR(Advance());
  }
  return true;
}

absl::Status PhasedOperation::Wait() {
  while (status_.ok() && current_ != nullptr) {
    status_ = current_->Wait();
    if (status_.ok()) {
      Advance().IgnoreError();  // it is kept in status_
    } else {
      current_ = nullptr;
    }
  }
  return status_;
}

}  // namespace moe
