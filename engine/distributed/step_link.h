#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "comm/host_communicator.h"
#include "comm/idle_doorbell.h"
#include "engine/parallel/process_groups.h"

namespace moe {

// What a rank needs to communicate with the others in steps. Borrows everything
// except the functions.
struct StepLink {
  // All ranks, in the order of the world; used for plans and logits only.
  HostCommunicator* plans = nullptr;
  IdleDoorbell* doorbell = nullptr;
  // The groups of the model.
  ProcessGroups* groups = nullptr;
  int tensor_degree = 1;  // rank = data_rank * tensor_degree + tensor_rank
  std::string host;       // of this rank, for messages
  // Ring for every plan: for ranks on several nodes, where messages are
  // delayed.
  bool always_ring = false;

  // How long workers poll for the next plan after a step before they sleep.
  // Equal on all ranks.
  absl::Duration poll_time = absl::Milliseconds(2);
  // A worker fails after this long without a message from rank 0, which sends
  // keep-alives four times as often. Equal on all ranks.
  absl::Duration idle_timeout = absl::Seconds(60);

  // RankRuntime::status: OK, or the failure of the job. Any thread. May be
  // empty.
  std::function<absl::Status()> job_status;

  // Reports a failure of this rank's steps to the job, unless the job has
  // failed already; does not wait. Any thread. May be empty.
  std::function<void(const absl::Status& reason)> fail_job;

  // Called before (in_step) and after each step of this rank. May be empty.
  std::function<void(bool in_step, int64_t step_id)> on_step;
};

// Aborts all groups because of `error` in `step_id` (-1: between steps), so
// that no peer waits for this rank, and fails the job. Returns the reason that
// it sends: the job's failure if one is reported soon (a group usually fails
// because another rank died), else `error`, with this rank's number and host if
// it started here.
absl::Status AbortStep(const StepLink& link, int64_t step_id,
                       const absl::Status& error);

}  // namespace moe
