#include "engine/distributed/plan_channel.h"

#include <sched.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// In front of the plan.
struct Frame {
  uint64_t plan_bytes;
  // How often rank 0 will have rung with this plan. Rings that were not waited
  // for are taken back later, or they would wake the worker for nothing.
  uint32_t rings;
  uint32_t zero;
};

constexpr size_t kRoom = kFirstMessageBytes - sizeof(Frame);

// A sleeper wakes this often, to see what cannot ring: an abort, and plans
// whose ring went astray.
constexpr absl::Duration kSlice = absl::Milliseconds(250);
// From another node, a plan may come after its ring.
constexpr absl::Duration kLookAfterRing = absl::Milliseconds(20);

}  // namespace

PlanSender::PlanSender(const StepLink& link)
    : link_(link), looked_for_(absl::ZeroDuration()) {}

absl::Status PlanSender::Send(const StepPlan& plan) {
  bytes_.assign(sizeof(Frame), 0);
  EncodeStepPlan(plan, &bytes_);
  const size_t plan_bytes = bytes_.size() - sizeof(Frame);
  const bool rings = link_.always_ring || looked_for_.Passed();
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
  // Who was still looking when the plan was under way has seen it; that moment
  // may have come too late, unlike expected.
  const bool late = !rings && looked_for_.Passed();
  if (late) ++rings_;
  if (rings || late) RETURN_IF_ERROR(link_.doorbell->Ring());
  // They look for poll_time from a later moment on; the rest is for delays.
  looked_for_ = Deadline(link_.poll_time * 0.75);
  RETURN_IF_ERROR(sending->Wait());
  if (plan_bytes <= kRoom) return absl::OkStatus();
  return link_.plans->Broadcast(bytes_.data() + kFirstMessageBytes,
                                plan_bytes - kRoom, 0);
}

PlanReceiver::PlanReceiver(const StepLink& link, const StepPlanLimits& limits)
    : link_(link), limits_(limits) {}

absl::StatusOr<bool> PlanReceiver::Look(PendingOperation* first,
                                        absl::Duration time) {
  const Deadline until(time);
  while (true) {
    // Before the last look, or a plan might come between look and end.
    const bool last = until.Passed();
    ASSIGN_OR_RETURN(const bool done, first->Poll());
    if (done || last) return done;
    sched_yield();
  }
}

absl::Status PlanReceiver::AwaitFirst(PendingOperation* first) {
  const Deadline idle(link_.idle_timeout);
  absl::Duration look = link_.poll_time;
  while (true) {
    ASSIGN_OR_RETURN(const bool come, Look(first, look));
    if (come) return absl::OkStatus();
    if (link_.job_status != nullptr) RETURN_IF_ERROR(link_.job_status());
    RETURN_IF_ERROR(link_.plans->status());
    if (idle.Passed()) {
      return absl::DeadlineExceededError(
          absl::StrCat("rank 0 has sent neither a plan nor a sign of life for ",
                       absl::FormatDuration(link_.idle_timeout)));
    }
    const absl::Status rung =
        link_.doorbell->Wait(std::min(kSlice, idle.Left()));
    if (rung.ok()) {
      ++rings_answered_;
      look = kLookAfterRing;
    } else if (absl::IsDeadlineExceeded(rung)) {
      look = absl::ZeroDuration();
    } else {
      return rung;
    }
  }
}

absl::StatusOr<StepPlan> PlanReceiver::Receive() {
  // By now all of them have been rung.
  while (static_cast<int32_t>(rings_due_ - rings_answered_) > 0 &&
         link_.doorbell->Wait(absl::Milliseconds(100)).ok()) {
    ++rings_answered_;
  }
  bytes_.resize(std::max(bytes_.size(), kFirstMessageBytes));
  const ReceiveBuffer receive = {0, bytes_.data(), kFirstMessageBytes};
  absl::StatusOr<std::unique_ptr<PendingOperation>> first =
      link_.plans->BeginExchange({}, {&receive, 1}, "receiving a plan");
  if (!first.ok()) return AbortStep(link_, -1, first.status());
  // Given up before `first` ends, which would wait for its message.
  const absl::Status awaited = AwaitFirst(first->get());
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
  rings_due_ = frame.rings;
  if (frame.plan_bytes > kRoom) {
    bytes_.resize(std::max(bytes_.size(), sizeof(frame) + frame.plan_bytes));
    RETURN_IF_ERROR(link_.plans->Broadcast(bytes_.data() + kFirstMessageBytes,
                                           frame.plan_bytes - kRoom, 0));
  }
  return DecodeStepPlan(
      absl::MakeSpan(bytes_).subspan(sizeof(frame), frame.plan_bytes), limits_);
}

}  // namespace moe
