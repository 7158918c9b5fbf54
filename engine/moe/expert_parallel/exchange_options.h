#pragma once

#include <optional>

#include "absl/time/time.h"
#include "engine/parallel/exchange_cost_model.h"
#include "engine/parallel/exchange_kind.h"

namespace moe {

// How the MoE layers of a model exchange rows. Equal on all ranks, or they
// would choose different exchanges and wait for each other.
struct ExchangeOptions {
  // This kind in every layer whose ranks admit it (ExchangeKindApplies); the
  // other layers choose among theirs. Empty: every layer and step chooses.
  std::optional<ExchangeKind> pinned;
  // Measured (MeasureLinkCost) or configured. The default is of the order of
  // shared memory and 10 Gbit/s Ethernet.
  ExchangeCosts costs = {
      .in_node = {absl::Microseconds(5), absl::Microseconds(2), 4e9},
      .across = {absl::Microseconds(50), absl::Microseconds(10), 1e9},
      .copy_bytes_per_second = 8e9};
};

}  // namespace moe
