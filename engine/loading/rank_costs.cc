#include "engine/loading/rank_costs.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/strings/str_join.h"
#include "comm/deadline.h"
#include "engine/loading/rank_rates.h"
#include "engine/parallel/exchange_cost_measurement.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// The smallest rate of all ranks, which measure it at the same time.
template <typename Measure>
absl::StatusOr<double> MinRate(HostCommunicator& all, Measure measure) {
  RETURN_IF_ERROR(all.Barrier());
  const absl::StatusOr<double> own = measure();
  // The other ranks wait in the all-gather: a rank that fails sends 0 before it
  // returns its error.
  const double own_rate = own.value_or(0);
  std::vector<double> rates(all.size());
  RETURN_IF_ERROR(all.AllGather(&own_rate, sizeof(own_rate), rates.data()));
  RETURN_IF_ERROR(own.status());
  const double least = *std::min_element(rates.begin(), rates.end());
  if (least > 0) return least;
  return absl::AbortedError("a rank could not measure what it can do");
}

}  // namespace

absl::StatusOr<ResolvedCosts> ResolveCosts(const CostOptions& configured,
                                           HostCommunicator& all,
                                           const Topology& topology,
                                           DType dtype, ThreadPool& threads,
                                           Stream& stream) {
  const Deadline clock(absl::InfiniteDuration());
  MachineCosts costs;
  std::vector<std::string> measured;
  const bool links =
      !configured.in_node.is_complete() || !configured.across.is_complete();
  if (links || !configured.copy_bytes_per_second.has_value()) {
    ASSIGN_OR_RETURN(costs.exchange, MeasureExchangeCosts(all, topology));
    if (links) measured.push_back("links");
    if (!configured.copy_bytes_per_second.has_value()) {
      measured.push_back("copying");
    }
  }
  if (!configured.read_bytes_per_second.has_value()) {
    ASSIGN_OR_RETURN(costs.read_bytes_per_second,
                     MinRate(all, [&] { return MeasureReadRate(threads); }));
    measured.push_back("reading");
  }
  if (!configured.flops_per_second.has_value()) {
    ASSIGN_OR_RETURN(costs.flops_per_second, MinRate(all, [&] {
                       return MeasureMultiplyAddRate(dtype, stream);
                     }));
    measured.push_back("computing");
  }
  ResolvedCosts found;
  found.costs = costs.Rounded().With(configured);
  found.measured = measured.empty() ? "none" : absl::StrJoin(measured, ", ");
  found.time = clock.Elapsed();
  return found;
}

}  // namespace moe
