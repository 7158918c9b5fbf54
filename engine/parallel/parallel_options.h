#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "comm/topology.h"
#include "engine/parallel/exchange_kind.h"
#include "engine/parallel/parallel_cost_options.h"

namespace moe {

// Degrees that an operator sets for one MoE layer; 0: the planner chooses.
struct MoeDegreesOption {
  int layer = 0;          // in the model; must be a MoE layer
  int expert_degree = 0;  // ep
  int slice_degree = 0;   // es
};

// How to partition a model over the ranks, as configured. Plain data; must be
// equal on all ranks. Zeros and empty values mean: chosen (PlanParallel) or
// measured.
struct ParallelOptions {
  int tensor_degree = 0;
  // Of all MoE layers but those in `layers`.
  int expert_degree = 0;
  int slice_degree = 0;
  std::vector<MoeDegreesOption> layers;

  // Always this exchange, in every MoE layer and step.
  std::optional<ExchangeKind> exchange;
  // Sequences that decode at a time, over all ranks, in the step that is to be
  // fast.
  int64_t decode_batch = 8;
  // What the machines can do; what is empty is measured at the start.
  CostOptions costs;
  // Pretend that consecutive ranks make such nodes; empty: as MPI finds them.
  std::optional<NodeShape> nodes;

  // Longest wait for peers: while all start and load, and within a step.
  absl::Duration start_timeout = absl::Minutes(30);
  absl::Duration step_timeout = absl::Seconds(30);
  // A rank that says nothing for so long is taken for dead.
  absl::Duration watchdog = absl::Seconds(10);
};

}  // namespace moe
