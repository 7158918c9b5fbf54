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

// Sends plans from rank 0 to all workers. A first message of kFirstMessageBytes
// to each worker carries the plan; one broadcast carries the rest of a longer
// one. Rank 0 rings the doorbell unless all workers still poll, because it sent
// the last plan less than poll_time ago. Thread-compatible.

// Fits the eager limit of shared-memory transports (Open MPI: 4 KiB with its
// own header).
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
  Deadline polled_until_;  // until then, the workers poll
};

class PlanReceiver {
 public:
  PlanReceiver(const StepLink& link, const StepPlanLimits& limits);

  // Waits for the next plan: polls for poll_time, yielding the core, then
  // sleeps on the doorbell. kDeadlineExceeded after idle_timeout without a
  // plan. On an error it has aborted all groups.
  absl::StatusOr<StepPlan> Receive();

 private:
  absl::Status WaitForFirst(PendingOperation* first);
  // Polls for `time`; true if the message has arrived.
  absl::StatusOr<bool> PollFor(PendingOperation* first, absl::Duration time);
  absl::StatusOr<StepPlan> ReceiveRest();

  StepLink link_;
  StepPlanLimits limits_;
  std::vector<uint8_t> bytes_;
  uint32_t rings_sent_ = 0;
  uint32_t rings_consumed_ = 0;
};

}  // namespace moe
