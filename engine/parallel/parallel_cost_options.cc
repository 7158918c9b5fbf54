#include "engine/parallel/parallel_cost_options.h"

#include <algorithm>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace moe {
namespace {

LinkCost With(LinkCost cost, const LinkCostOptions& configured) {
  cost.base = configured.latency.value_or(cost.base);
  cost.per_message = configured.per_message.value_or(cost.per_message);
  cost.bytes_per_second =
      configured.bytes_per_second.value_or(cost.bytes_per_second);
  return cost;
}

double Rounded(double rate) {
  const std::string text = absl::StrFormat("%.3g", rate);
  return std::max(1.0, std::strtod(text.c_str(), nullptr));
}

// All digits that there are.
std::string RateText(double rate) { return absl::StrFormat("%.15g", rate); }

LinkCost Rounded(LinkCost cost) {
  cost.base = absl::Trunc(cost.base, absl::Nanoseconds(1));
  cost.per_message = absl::Trunc(cost.per_message, absl::Nanoseconds(1));
  cost.bytes_per_second = Rounded(cost.bytes_per_second);
  return cost;
}

// Quotes of the kind that log lines need not escape.
std::string LinkText(const LinkCost& cost) {
  return absl::StrCat(
      "{ latency: '", absl::FormatDuration(cost.base), "' per_message: '",
      absl::FormatDuration(cost.per_message),
      "' bytes_per_second: ", RateText(cost.bytes_per_second), " }");
}

}  // namespace

MachineCosts MachineCosts::With(const CostOptions& configured) const {
  MachineCosts costs = *this;
  costs.exchange.in_node = moe::With(exchange.in_node, configured.in_node);
  costs.exchange.across = moe::With(exchange.across, configured.across);
  costs.exchange.copy_bytes_per_second =
      configured.copy_bytes_per_second.value_or(exchange.copy_bytes_per_second);
  costs.read_bytes_per_second =
      configured.read_bytes_per_second.value_or(read_bytes_per_second);
  costs.flops_per_second =
      configured.flops_per_second.value_or(flops_per_second);
  return costs;
}

MachineCosts MachineCosts::Rounded() const {
  MachineCosts costs = *this;
  costs.exchange.in_node = moe::Rounded(exchange.in_node);
  costs.exchange.across = moe::Rounded(exchange.across);
  costs.exchange.copy_bytes_per_second =
      moe::Rounded(exchange.copy_bytes_per_second);
  costs.read_bytes_per_second = moe::Rounded(read_bytes_per_second);
  costs.flops_per_second = moe::Rounded(flops_per_second);
  return costs;
}

std::string MachineCosts::ToText() const {
  return absl::StrCat(
      "costs { in_node ", LinkText(exchange.in_node), " across ",
      LinkText(exchange.across),
      " copy_bytes_per_second: ", RateText(exchange.copy_bytes_per_second),
      " read_bytes_per_second: ", RateText(read_bytes_per_second),
      " flops_per_second: ", RateText(flops_per_second), " }");
}

}  // namespace moe
