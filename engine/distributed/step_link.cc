#include "engine/distributed/step_link.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "comm/deadline.h"

namespace moe {
namespace {

// The control link reports a dead rank within milliseconds.
constexpr absl::Duration kWaitTimeout = absl::Milliseconds(300);

bool AnyGroupFailed(const StepLink& link) {
  if (!link.plans->status().ok()) return true;
  const auto groups = link.groups->All();
  return std::any_of(groups.begin(), groups.end(), [](HostCommunicator* group) {
    return !group->status().ok();
  });
}

}  // namespace

absl::Status AbortStep(const StepLink& link, int64_t step_id,
                       const absl::Status& error) {
  absl::Status reason = error;
  if (AnyGroupFailed(link)) {
    const Deadline deadline(kWaitTimeout);
    while (link.job_status != nullptr && !deadline.Passed()) {
      const absl::Status job = link.job_status();
      if (!job.ok()) {
        reason = job;
        break;
      }
      absl::SleepFor(absl::Milliseconds(1));
    }
  } else {
    reason = absl::Status(
        error.code(),
        absl::StrCat("rank ", link.plans->rank(), " on host '", link.host,
                     "' failed",
                     step_id < 0 ? "" : absl::StrCat(" in step ", step_id),
                     ": ", error.message()));
  }
  // Before the groups, since MPI may take seconds to abort them.
  if (link.fail_job) link.fail_job(reason);
  // The plans first: rank 0 waits in this group, and reports the first abort
  // that it receives.
  link.plans->Abort(reason);
  link.groups->Abort(reason);
  return reason;
}

}  // namespace moe
