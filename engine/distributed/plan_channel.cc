#include "engine/distributed/plan_channel.h"

#include <sched.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// The header before the plan.
struct Frame {
  uint64_t plan_bytes;
  // Number of rings of rank 0 up to this plan. A worker that did not wait for
  // some of them consumes them later, or they would wake it without a plan.
  uint32_t rings;
  uint32_t zero;
};

constexpr size_t kFirstPlanBytes = kFirstMessageBytes - sizeof(Frame);

// A sleeping worker wakes this often to check for aborts, which do not ring,
// and for a lost ring.
constexpr absl::Duration kWakeInterval = absl::Milliseconds(250);
// A plan from another node may arrive after its ring.
constexpr absl::Duration kPollAfterRing = absl::Milliseconds(20);

}  // namespace

PlanSender::PlanSender(const StepLink& link)
    : link_(link), polled_until_(absl::ZeroDuration()) {}

absl::Status PlanSender::Send(const StepPlan& plan) {
  bytes_.assign(sizeof(Frame), 0);
  EncodeStepPlan(plan, &bytes_);
  const size_t plan_bytes = bytes_.size() - sizeof(Frame);
  const bool rings = link_.always_ring || polled_until_.Passed();
  if (rings) ++rings_;
  const Frame frame = {plan_bytes, rings_, 0};
  std::memcpy(bytes_.data(), &frame, sizeof(frame));
  bytes_.resize(std::max(bytes_.size(), kFirstMessageBytes));

  std::vector<SendBuffer> sends;
  for (int peer = 1; peer < link_.plans->size(); ++peer) {
    sends.push_back({peer, bytes_.data(), kFirstMessageBytes});
  }
  ASSIGN_OR_RETURN(std::unique_ptr<PendingOperation> sending,
                   link_.plans->BeginExchange(sends, {}, "sending a plan"));
  // Workers that still poll now receive the plan. If sending took longer than
  // expected, they may sleep already.
  const bool late = !rings && polled_until_.Passed();
  if (late) ++rings_;
  if (rings || late) RETURN_IF_ERROR(link_.doorbell->Ring());
  // The workers start to poll later than this; the margin allows for delays.
  polled_until_ = Deadline(link_.poll_time * 0.75);
  RETURN_IF_ERROR(sending->Wait());
  if (plan_bytes <= kFirstPlanBytes) return absl::OkStatus();
  return link_.plans->Broadcast(bytes_.data() + kFirstMessageBytes,
                                plan_bytes - kFirstPlanBytes, 0);
}

PlanReceiver::PlanReceiver(const StepLink& link, const StepPlanLimits& limits)
    : link_(link), limits_(limits) {}

absl::StatusOr<bool> PlanReceiver::PollFor(PendingOperation* first,
                                           absl::Duration time) {
  const Deadline until(time);
  while (true) {
    // Checked before the last poll, so that no plan arrives unseen between the
    // two.
    const bool last = until.Passed();
    ASSIGN_OR_RETURN(const bool done, first->Poll());
    if (done || last) return done;
    sched_yield();
  }
}

absl::Status PlanReceiver::WaitForFirst(PendingOperation* first) {
  const Deadline idle(link_.idle_timeout);
  absl::Duration look = link_.poll_time;
  while (true) {
    ASSIGN_OR_RETURN(const bool come, PollFor(first, look));
    if (come) return absl::OkStatus();
    if (link_.job_status != nullptr) RETURN_IF_ERROR(link_.job_status());
    RETURN_IF_ERROR(link_.plans->status());
    if (idle.Passed()) {
      return absl::DeadlineExceededError(
          absl::StrCat("rank 0 has sent neither a plan nor a sign of life for ",
                       absl::FormatDuration(link_.idle_timeout)));
    }
    const absl::Status rung =
        link_.doorbell->Wait(std::min(kWakeInterval, idle.Left()));
    if (rung.ok()) {
      ++rings_consumed_;
      look = kPollAfterRing;
    } else if (absl::IsDeadlineExceeded(rung)) {
      look = absl::ZeroDuration();
    } else {
      return rung;
    }
  }
}

absl::StatusOr<StepPlan> PlanReceiver::Receive() {
  // All of these rings have been sent by now.
  while (static_cast<int32_t>(rings_sent_ - rings_consumed_) > 0 &&
         link_.doorbell->Wait(absl::Milliseconds(100)).ok()) {
    ++rings_consumed_;
  }
  bytes_.resize(std::max(bytes_.size(), kFirstMessageBytes));
  const ReceiveBuffer receive = {0, bytes_.data(), kFirstMessageBytes};
  absl::StatusOr<std::unique_ptr<PendingOperation>> first =
      link_.plans->BeginExchange({}, {&receive, 1}, "receiving a plan");
  if (!first.ok()) return AbortStep(link_, -1, first.status());
  // Aborts before `first` is destroyed, which would wait for its message.
  const absl::Status awaited = WaitForFirst(first->get());
  if (!awaited.ok()) return AbortStep(link_, -1, awaited);
  absl::StatusOr<StepPlan> plan = ReceiveRest();
  if (!plan.ok()) return AbortStep(link_, -1, plan.status());
  return plan;
}

absl::StatusOr<StepPlan> PlanReceiver::ReceiveRest() {
  Frame frame;
  std::memcpy(&frame, bytes_.data(), sizeof(frame));
  if (frame.plan_bytes > MaxPlanBytes(limits_)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "rank 0 announces a plan of ", frame.plan_bytes, " bytes; at most ",
        MaxPlanBytes(limits_), " are possible"));
  }
  rings_sent_ = frame.rings;
  if (frame.plan_bytes > kFirstPlanBytes) {
    bytes_.resize(std::max(bytes_.size(), sizeof(frame) + frame.plan_bytes));
    RETURN_IF_ERROR(link_.plans->Broadcast(bytes_.data() + kFirstMessageBytes,
                                           frame.plan_bytes - kFirstPlanBytes,
                                           0));
  }
  return DecodeStepPlan(
      absl::MakeSpan(bytes_).subspan(sizeof(frame), frame.plan_bytes), limits_);
}

}  // namespace moe
