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

// One rank's way to the others, for the steps: borrowed, but for the functions.
struct StepLink {
  // Of all ranks, in the order of the world, used for plans and logits alone.
  HostCommunicator* plans = nullptr;
  IdleDoorbell* doorbell = nullptr;
  // What the model communicates in.
  ProcessGroups* groups = nullptr;
  int tensor_degree = 1;  // rank = data_rank * tensor_degree + tensor_rank
  std::string host;       // of this rank, for messages
  // A ring follows every plan: for ranks on several nodes, where a message is
  // seen later than it was sent.
  bool always_ring = false;

  // After a step, workers look for the next plan for so long before they
  // sleep. Equal on all ranks.
  absl::Duration poll_time = absl::Milliseconds(2);
  // A worker without a word from rank 0 for so long gives up; rank 0 speaks
  // four times as often. Equal on all ranks.
  absl::Duration idle_timeout = absl::Seconds(60);

  // Why the job fails, from who knows it first (RankRuntime::status), or OK.
  // Any thread. May be empty.
  std::function<absl::Status()> job_status;

  // Has the job fail for a reason of this rank's steps, if nothing else has
  // made it fail; does not wait. Any thread. May be empty.
  std::function<void(const absl::Status& reason)> fail_job;

  // Called before (in_step) and after each step of this rank. May be empty.
  std::function<void(bool in_step, int64_t step_id)> on_step;
};

// Gives all groups up because of `error` in `step_id` (-1: between steps), so
// that no peer waits for this rank, has the job fail, and returns the reason
// that others are to hear: what the job says, if it says something soon (a
// group that fails is most often the echo of a rank that died), else `error`,
// with this rank's number and host if it arose here.
absl::Status AbortStep(const StepLink& link, int64_t step_id,
                       const absl::Status& error);

}  // namespace moe
