#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "comm/deadline.h"
#include "comm/pending_operation.h"
#include "engine/batch/step_plan.h"
#include "engine/batch/step_plan_codec.h"
#include "engine/distributed/step_link.h"

namespace moe {

// How plans get from rank 0 to all others. A plan travels whole in a first
// message of kFirstMessageBytes to each; what does not fit follows in one
// broadcast. Rank 0 rings the doorbell unless it knows that everybody is
// looking: the last plan was sent less than poll_time ago. Thread-compatible.

// What shared-memory transports carry without asking the receiver (Open MPI: 4
// KiB with its own header).
inline constexpr size_t kFirstMessageBytes = 4000;

class PlanSender {
 public:
  // What `link` borrows must outlive it.
  explicit PlanSender(const StepLink& link);

  absl::Status Send(const StepPlan& plan);

 private:
  StepLink link_;
  std::vector<uint8_t> bytes_;
  uint32_t rings_ = 0;
  Deadline looked_for_;  // until then, the others look for a plan
};

class PlanReceiver {
 public:
  PlanReceiver(const StepLink& link, const StepPlanLimits& limits);

  // Waits for the next plan: first looks for it, yielding the core, for
  // poll_time, then sleeps on the doorbell. kDeadlineExceeded after
  // idle_timeout without one. After an error, all groups have been given up.
  absl::StatusOr<StepPlan> Receive();

 private:
  absl::Status AwaitFirst(PendingOperation* first);
  // Whether the message has come, looking for it for `time`.
  absl::StatusOr<bool> Look(PendingOperation* first, absl::Duration time);
  absl::StatusOr<StepPlan> ReceiveRest();

  StepLink link_;
  StepPlanLimits limits_;
  std::vector<uint8_t> bytes_;
  uint32_t rings_due_ = 0;
  uint32_t rings_answered_ = 0;
};

}  // namespace moe
