#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "comm/communicator.h"
#include "comm/idle_doorbell.h"
#include "comm/process_groups.h"

namespace moe {

// One rank's way to the others, for the steps: borrowed, but for the functions.
struct StepLink {
  // Of all ranks, in the order of the world, used for plans and logits alone.
  Communicator* plans = nullptr;
  IdleDoorbell* doorbell = nullptr;
  // What the model communicates in. Aborted with `plans`.
  ProcessGroups* groups = nullptr;
  int tensor_degree = 1;  // rank = data_rank * tensor_degree + tensor_rank
  std::string host;       // of this rank, for messages
  // True if a ring must follow every plan: peers on other nodes see a message
  // later than it was sent.
  bool always_ring = false;

  // After a step, followers look for the next plan for so long before they
  // sleep. Equal on all ranks.
  absl::Duration poll_time = absl::Milliseconds(2);
  // A follower without a word from rank 0 for so long gives up; rank 0 speaks
  // four times as often. Equal on all ranks.
  absl::Duration idle_timeout = absl::Seconds(60);

  // Why the job fails, from whoever knows it first (the control link), or OK.
  // Any thread. May be empty.
  std::function<absl::Status()> job_status;
};

}  // namespace moe
