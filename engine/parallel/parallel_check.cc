#include "engine/parallel/parallel_check.h"

#include "absl/strings/str_cat.h"
#include "comm/topology.h"
#include "engine/parallel/exchange_cost_model.h"
#include "engine/parallel/parallel_cost.h"
#include "engine/parallel/parallel_plan.h"
#include "kernels/core/status_macros.h"

namespace moe {
namespace {

// Any: they decide what is fast, not what is possible.
ExchangeCosts SomeCosts() {
  ExchangeCosts costs;
  costs.in_node = {absl::Microseconds(3), absl::Microseconds(1), 5e9};
  costs.across = {absl::Microseconds(50), absl::Microseconds(20), 1e9};
  costs.copy_bytes_per_second = 10e9;
  return costs;
}

absl::Status PlanOn(const ModelConfig& config, const ParallelOptions& options,
                    NodeShape shape) {
  ASSIGN_OR_RETURN(const Topology topology, Topology::FromShape(shape));
  RankResources rank;
  rank.decode_batch = options.decode_batch;
  return PlanParallel(config, options, topology, SomeCosts(), rank).status();
}

}  // namespace

absl::StatusOr<std::string> CheckParallel(const ModelConfig& config,
                                          const ParallelOptions& options,
                                          int world_size, int num_nodes) {
  if (options.nodes.has_value()) {
    RETURN_IF_ERROR(PlanOn(config, options, *options.nodes));
    return "";
  }
  const int likely =
      num_nodes > 0 && world_size % num_nodes == 0 ? num_nodes : 1;
  const absl::Status refused =
      PlanOn(config, options, {likely, world_size / likely});
  if (refused.ok() || num_nodes == 1 ||
      options.exchange != ExchangeKind::kHierarchical) {
    RETURN_IF_ERROR(refused);
    return "";
  }
  // Of all that is refused only this exchange depends on the machines, and
  // where any spread of the ranks allows it, an even one does.
  for (int nodes = 2; nodes <= world_size; ++nodes) {
    if (world_size % nodes != 0) continue;
    if (PlanOn(config, options, {nodes, world_size / nodes}).ok()) {
      return absl::StrCat("possible with ", world_size / nodes,
                          " ranks on each of ", nodes, " machines, but not on ",
                          likely, ": ", refused.message());
    }
  }
  return refused;
}

}  // namespace moe
