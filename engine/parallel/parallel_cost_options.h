#pragma once

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "engine/parallel/exchange_cost_model.h"

namespace moe {

// What an operator says that one kind of link costs; empty: measured.
struct LinkCostOptions {
  std::optional<absl::Duration> latency;
  std::optional<absl::Duration> per_message;
  std::optional<double> bytes_per_second;

  bool is_complete() const {
    return latency.has_value() && per_message.has_value() &&
           bytes_per_second.has_value();
  }
};

// What an operator says that the machines can do; empty: measured at the start.
// Plain data; equal on all ranks.
struct CostOptions {
  LinkCostOptions in_node;
  LinkCostOptions across;  // between nodes
  std::optional<double> copy_bytes_per_second;
  std::optional<double> read_bytes_per_second;
  std::optional<double> flops_per_second;
};

// All that a plan depends on of what the machines can do: of the worst rank,
// while all work. Equal on all ranks.
struct MachineCosts {
  ExchangeCosts exchange;
  double read_bytes_per_second = 0;  // weights from memory
  double flops_per_second = 0;       // matrix products

  // These costs with the configured values instead of the measured ones.
  MachineCosts With(const CostOptions& configured) const;
  // Rounded to what ToText() prints: times to whole nanoseconds, rates to three
  // digits (and none of them to 0).
  MachineCosts Rounded() const;
  // As moe.config.Parallel has it, in text format on one line: "costs { in_node
  // { latency: '5us' ... } ... }". Read again, it gives equal costs if these
  // are Rounded.
  std::string ToText() const;
};

}  // namespace moe
